# Runs the PowerShell command in the file named by the first argument, with all its streams merged and
# errors marked as the specification's "Error Handling" has it. Exits with the command's own code.
param([Parameter(Mandatory = $true)][string]$CommandFile)

$ErrorActionPreference = 'Continue'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = [System.Text.UTF8Encoding]::new($false)
$global:LASTEXITCODE = 0
$script:errorOccurred = $false

function Write-JobLine {
    param($Line)
    if ($Line -is [System.Management.Automation.ErrorRecord]) {
        $script:errorOccurred = $true
        [Console]::Out.WriteLine("[ERROR] $($Line.Exception.Message)`n$($Line.ScriptStackTrace)")
    }
    elseif ($null -ne $Line) {
        [Console]::Out.WriteLine($Line.ToString())
    }
}

try {
    $command = [System.IO.File]::ReadAllText($CommandFile)
    Invoke-Expression -Command $command 2>&1 | ForEach-Object { Write-JobLine $_ }
}
catch {
    Write-JobLine $_
}

if ($global:LASTEXITCODE -ne 0) { exit $global:LASTEXITCODE }
if ($script:errorOccurred) { exit 1 }
exit 0
