# ruff: noqa: E501 - the examples as they are
"""The examples of the specification, letter by letter."""

from __future__ import annotations

SUBMISSION_FILE = r"""
{
  "JobID": "guid",
  "UserID": "user-id",
  "SessionID": "session-id",
  "JobName": "MyJob",
  "Command": "Get-Process | Select-Object -First 5",
  "Description": "Optional description",
  "ExecutionMode": "MainLoop|Runspace|BackgroundJob",
  "Roles": ["debug"],
  "SubmittedAt": "2026-01-23T10:30:00Z",
  "Status": "Pending"
}
"""

SUBMIT_BODY = r"""
{
  "jobName": "MyTestJob",
  "command": "Get-Date; Write-Output 'Hello World'",
  "description": "Test job description",
  "executionMode": "MainLoop"
}
"""

CURL_SUBMIT = r"""
curl -X POST http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/submit \
  -H "Content-Type: application/json" \
  -H "Cookie: PSWebSessionID=your-session-id" \
  -d '{
    "jobName": "TestJob",
    "command": "Get-Process | Select-Object -First 5",
    "executionMode": "MainLoop"
  }'
"""

CURL_RESULTS = r"""
curl http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/results?maxResults=50 \
  -H "Cookie: PSWebSessionID=your-session-id"
"""

CURL_DELETE = r"""
curl -X DELETE "http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/results?jobId=guid" \
  -H "Cookie: PSWebSessionID=your-session-id"
"""

MODULE_SUBMIT = r"""
Submit-PSWebHostJob `
    -UserID "user-123" `
    -SessionID "session-456" `
    -JobName "MyJob" `
    -Command "Get-Date" `
    -Description "Test job" `
    -ExecutionMode "MainLoop" `
    -Roles @('debug')
"""

MODULE_RESULTS = r"""
$results = Get-PSWebHostJobResults -UserID "user-123" -MaxResults 50
"""

MODULE_REMOVE = r"""
$deleted = Remove-PSWebHostJobResults -JobID "guid"
"""

MODULE_PROCESS = r"""
# Called automatically from main loop every 2 seconds
Process-PSWebHostJobSubmissions
"""

EXAMPLE_1 = r"""
# Submit job
$response = Invoke-RestMethod -Uri "http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/submit" `
    -Method POST `
    -Headers @{ "Cookie" = "PSWebSessionID=your-session-id" } `
    -ContentType "application/json" `
    -Body (@{
        jobName = "GetProcesses"
        command = "Get-Process | Select-Object -First 10 | ConvertTo-Json"
        description = "Get top 10 processes"
        executionMode = "MainLoop"
    } | ConvertTo-Json)

Write-Host "Job ID: $($response.jobId)"

# Wait a moment for execution (MainLoop runs every 2 seconds)
Start-Sleep -Seconds 3

# Get results
$results = Invoke-RestMethod -Uri "http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/results" `
    -Headers @{ "Cookie" = "PSWebSessionID=your-session-id" }

$myJobResult = $results.results | Where-Object { $_.JobID -eq $response.jobId }
Write-Host "Output: $($myJobResult.Output)"
"""

EXAMPLE_2 = r"""
# Submit long-running job in runspace (non-blocking)
$response = Invoke-RestMethod -Uri "http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/submit" `
    -Method POST `
    -Headers @{ "Cookie" = "PSWebSessionID=your-session-id" } `
    -ContentType "application/json" `
    -Body (@{
        jobName = "LongTask"
        command = "1..10 | ForEach-Object { Start-Sleep -Seconds 1; Write-Output \"Step $_\" }"
        description = "10-second task"
        executionMode = "Runspace"
    } | ConvertTo-Json)

# Check results periodically
do {
    Start-Sleep -Seconds 2
    $results = Invoke-RestMethod -Uri "http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/results" `
        -Headers @{ "Cookie" = "PSWebSessionID=your-session-id" }
    $jobResult = $results.results | Where-Object { $_.JobID -eq $response.jobId }
} while (-not $jobResult)

Write-Host "Job completed in $($jobResult.Runtime) seconds"
"""

EXAMPLE_3 = r"""
# Submit diagnostic job
$response = Invoke-RestMethod -Uri "http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/submit" `
    -Method POST `
    -Headers @{ "Cookie" = "PSWebSessionID=your-session-id" } `
    -ContentType "application/json" `
    -Body (@{
        jobName = "SystemDiagnostics"
        command = @"
Get-ComputerInfo | Select-Object OsName, OsVersion, TotalPhysicalMemory
Get-Process | Measure-Object WorkingSet64 -Sum | Select-Object @{N='TotalMemoryMB';E={[math]::Round(`$_.Sum/1MB,2)}}
Get-NetTCPConnection | Group-Object State | Select-Object Name, Count
"@
        description = "System health check"
        executionMode = "BackgroundJob"
    } | ConvertTo-Json)
"""

BEARER = r"""
# Create test API key
cd tests/twin
.\Create-TestApiKey.ps1

# Use with curl
export API_KEY="your-api-key-here"
curl -H "Authorization: Bearer $API_KEY" http://localhost:8080/apps/WebHostTaskManagement/api/v1/jobs/results

# Use with PowerShell
$apiKey = "your-api-key-here"
Invoke-RestMethod -Uri "http://localhost:8080/api/endpoint" -Headers @{ "Authorization" = "Bearer $apiKey" }
"""
