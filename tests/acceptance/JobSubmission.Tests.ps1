# The specification's list of test coverage, told by the commands of a PowerShell user against a running demo host.
# Started by tests/acceptance/test_pester.py, which says in variables where the host, its keys and its folder are.

BeforeAll {
    Import-Module $env:JOBS_TEST_MODULE -DisableNameChecking -Force
    $admin = @{ Url = $env:JOBS_TEST_URL; ApiKey = $env:JOBS_TEST_ADMIN_KEY }
    $operator = @{ Url = $env:JOBS_TEST_URL; ApiKey = $env:JOBS_TEST_OPERATOR_KEY }
    $viewer = @{ Url = $env:JOBS_TEST_URL; ApiKey = $env:JOBS_TEST_VIEWER_KEY }
    $submissions, $picked, $results = 'JobSubmission', 'JobOutput', 'JobResults' | ForEach-Object {
        Join-Path $env:JOBS_TEST_FOLDER $_
    }
    [void] (Connect-PSWebHost @admin)

    # Until the condition is true, for three minutes at most: the machine may be busy.
    function Wait-Until([scriptblock] $Condition, [string] $What) {
        $end = (Get-Date).AddMinutes(3)
        while (-not (& $Condition)) {
            if ((Get-Date) -gt $end) { throw "$What did not happen." }
            Start-Sleep -Milliseconds 250
        }
    }

    # The job's result, once it has ended.
    function Wait-Result($Job) {
        Wait-Until { Get-PSWebHostJobResults -JobID $Job.JobID -ErrorAction SilentlyContinue } "The end of job $Job"
        Get-PSWebHostJobResults -JobID $Job.JobID
    }

    # A command that waits until the file is there.
    function Get-GatedCommand([string] $Gate) {
        "'waiting'; while (-not (Test-Path '$Gate')) { Start-Sleep -Milliseconds 50 }; 'through'"
    }

    function Get-JobFile([string] $Folder, $Job) {
        @(Get-ChildItem $Folder -Recurse -File -Filter "*$($Job.JobID).json")
    }
}

Describe 'Job submission' -Tag 'Submission' {
    It 'is answered with an id, and the command runs, in <_>' -ForEach 'MainLoop', 'Runspace', 'BackgroundJob' {
        $job = Submit-PSWebHostJob -UserID admin -SessionID session-456 -JobName MyJob -Description 'Test job' `
            -Command '[pscustomobject]@{ Mode = $JobSubmission.ExecutionMode; Sum = 40 + 2 }' `
            -ExecutionMode $_ -Roles @('debug')
        [guid] $job.JobID | Should -Not -Be ([guid]::Empty)
        $job.Message | Should -Be 'Job submitted successfully'
        $job.ExecutionMode | Should -BeExactly $_
        $result = Wait-Result $job
        $result.Success | Should -BeTrue
        $result.ExecutionMode | Should -BeExactly $_
        $result.Output | Should -Match "(?m)^$_\s+42\s*$"
        $result.JobName, $result.Description, $result.UserID | Should -Be 'MyJob', 'Test job', 'admin'
    }

    It 'gives the output as it is written, with -Wait' -Tag 'Streaming' {
        $gate = Join-Path $TestDrive 'streamed'
        $seen = @()
        $command = Get-GatedCommand $gate
        Submit-PSWebHostJob -JobName Streamed -Command $command -ExecutionMode Runspace -Wait | ForEach-Object {
            $seen += $_
            if ($_ -eq 'waiting') { [void] (New-Item $gate) }  # without it the job, and so -Wait, has no end
        }
        $seen | Should -Be 'waiting', 'through'
    }

    It 'takes a script block' -Tag 'Streaming' {
        Submit-PSWebHostJob Block { 'from a block' } -Wait | Should -Be 'from a block'
    }
}

Describe 'Role-based access control' -Tag 'Roles' {
    It 'lets nobody run MainLoop without the role debug' {
        { Submit-PSWebHostJob -JobName Refused -Command "'never'" -ExecutionMode MainLoop @operator } |
            Should -Throw "MainLoop execution mode requires 'debug' role" -ErrorId 'forbidden,Submit-PSWebHostJob'
    }

    It 'lets a task manager run <_>' -ForEach 'Runspace', 'BackgroundJob' {
        Submit-PSWebHostJob -JobName Allowed -Command "'done'" -ExecutionMode $_ -Wait @operator | Should -Be 'done'
    }

    It 'lets nobody run <_> who has no elevated role' -ForEach 'MainLoop', 'Runspace', 'BackgroundJob' {
        { Submit-PSWebHostJob -JobName Refused -Command "'never'" -ExecutionMode $_ @viewer } |
            Should -Throw "$_ execution mode requires*" -ErrorId 'forbidden,Submit-PSWebHostJob'
    }

    It 'takes no role from the command' {
        { Submit-PSWebHostJob -JobName Refused -Command "'never'" -ExecutionMode MainLoop -Roles debug @viewer } |
            Should -Throw -ErrorId 'forbidden,Submit-PSWebHostJob'
    }

    It 'takes no user from the command, and says so' {
        $mine = Get-PSWebHostJobResults -UserID admin -WarningVariable said -WarningAction SilentlyContinue @operator
        $said | Should -BeLike "*operator's*"
        $mine.UserID | Select-Object -Unique | Should -Be 'operator'
    }

    It 'has the host pick up submissions for elevated roles only' {
        Process-PSWebHostJobSubmissions @operator | Should -BeNullOrEmpty
        { Process-PSWebHostJobSubmissions @viewer } | Should -Throw -ErrorId 'forbidden,Process-PSWebHostJobSubmissions'
    }

    It 'knows nobody with a wrong key' {
        { Get-PSWebHostJobResults -ApiKey wrong } | Should -Throw -ErrorId 'not_authenticated,Get-PSWebHostJobResults'
    }
}

Describe 'MainLoop execution' -Tag 'MainLoop' {
    It 'is timed' {
        $result = Wait-Result (Submit-PSWebHostJob Timed 'Start-Sleep -Milliseconds 700' -ExecutionMode MainLoop)
        $result.Runtime | Should -BeGreaterOrEqual 0.7
        $result.DateStarted | Should -BeOfType [datetime]
        $result.DateCompleted | Should -BeLessOrEqual (Get-Date).AddSeconds(1)
        ($result.DateCompleted - $result.DateStarted).TotalSeconds | Should -BeGreaterOrEqual 0.7
    }

    It 'runs one job at a time, and keeps what one has made for the next' {
        $one = Submit-PSWebHostJob One '$kept = 41; Start-Sleep -Milliseconds 300' -ExecutionMode MainLoop
        $two = Submit-PSWebHostJob Two '$kept + 1' -ExecutionMode MainLoop
        $second = Wait-Result $two
        $second.Output.Trim() | Should -Be '42'
        $second.DateStarted | Should -BeGreaterOrEqual (Wait-Result $one).DateCompleted
    }
}

Describe 'Runspace execution' -Tag 'Runspace' {
    It 'holds up nobody else' {
        $gate = Join-Path $TestDrive 'runspace'
        $long = Submit-PSWebHostJob Long (Get-GatedCommand $gate) -ExecutionMode Runspace
        Submit-PSWebHostJob Short "'short'" -ExecutionMode BackgroundJob -Wait | Should -Be 'short'
        { Get-PSWebHostJobResults -JobID $long.JobID -ErrorAction Stop } | Should -Throw
        [void] (New-Item $gate)
        (Wait-Result $long).Output | Should -Match 'through'
    }

    It 'begins each job without the variables of the one before' {
        [void] (Submit-PSWebHostJob First '$left = 1' -ExecutionMode Runspace -Wait)
        Submit-PSWebHostJob Second '"[$left]"' -ExecutionMode Runspace -Wait | Should -Be '[]'
    }
}

Describe 'Background job execution' -Tag 'BackgroundJob' {
    It 'has a process of its own for each job' {
        $one, $two = 1, 2 | ForEach-Object { Submit-PSWebHostJob Process '$PID' -ExecutionMode BackgroundJob -Wait }
        $one | Should -Match '^\d+$'
        $two | Should -Match '^\d+$'
        $one | Should -Not -Be $two
    }
}

Describe 'Error capture' -Tag 'Errors' {
    It 'shows an error that does not end the command, and what follows, in <_>' -ForEach 'MainLoop', 'Runspace', 'BackgroundJob' {
        $result = Wait-Result (Submit-PSWebHostJob Failing "Get-Item /nope; 'after'" -ExecutionMode $_)
        $result.Success | Should -BeFalse
        $result.Output | Should -Match "(?s)^\[ERROR\] Cannot find path '/nope'.*at <ScriptBlock>.*after"
    }

    It 'shows what ended the command, in <_>' -ForEach 'MainLoop', 'Runspace' {
        $result = Wait-Result (Submit-PSWebHostJob Throwing "'before'; throw 'boom'" -ExecutionMode $_)
        $result.Status | Should -Be 'Failed'
        $result.Output | Should -Match '(?s)^before.*\[EXCEPTION\] boom'
    }

    It 'makes a failed job an error of -Wait, after its output' {
        $job = @{ JobName = 'Exiting'; Command = "'said'; exit 5"; ExecutionMode = 'Runspace' }
        $output = Submit-PSWebHostJob @job -Wait -ErrorAction SilentlyContinue -ErrorVariable failure
        $output | Should -Contain 'said'
        $failure[0].FullyQualifiedErrorId | Should -Be 'JobFailed,Submit-PSWebHostJob'
        $failure[0].TargetObject.ExitCode | Should -Be 5
    }
}

Describe 'Result retrieval' -Tag 'Retrieval' {
    BeforeAll {
        $jobs = 1..3 | ForEach-Object {
            $job = Submit-PSWebHostJob "Numbered$_" "'2026-01-23T10:30:00Z'" -ExecutionMode Runspace
            [void] (Wait-Result $job)
            $job
        }
    }

    It 'has the newest first, and as many as are asked for' {
        (Get-PSWebHostJobResults -MaxResults 2).JobID | Should -Be $jobs[2].JobID, $jobs[1].JobID
    }

    It 'has dates as dates, and texts as they were written' {
        $result = Get-PSWebHostJobResults -JobID $jobs[0].JobID
        $result.SubmittedAt, $result.DateStarted, $result.DateCompleted | Should -BeOfType [datetime]
        $result.SubmittedAt | Should -BeGreaterThan (Get-Date).AddHours(-1)
        $result.Output.Trim() | Should -BeExactly '2026-01-23T10:30:00Z'
    }

    It 'takes ids from the pipeline, and tells of each that has no result' {
        $found = $jobs[0], [pscustomobject]@{ JobID = [guid]::NewGuid().ToString() }, $jobs[1] |
            Get-PSWebHostJobResults -ErrorAction SilentlyContinue -ErrorVariable failures
        $found.JobID | Should -Be $jobs[0].JobID, $jobs[1].JobID
        $failures.FullyQualifiedErrorId | Should -Be 'not_found,Get-PSWebHostJobResults'
    }

    It 'shows nobody the results of others' {
        (Get-PSWebHostJobResults @viewer) | Should -BeNullOrEmpty
        { Get-PSWebHostJobResults -JobID $jobs[0].JobID -ErrorAction Stop @viewer } | Should -Throw
    }

    It 'is shown as a table' {
        $table = Get-PSWebHostJobResults -MaxResults 1 | Out-String -Width 120
        $table | Should -Match 'JobID\s+JobName\s+Status\s+Completed\s+Seconds\s+Mode'
        $table | Should -Match "$($jobs[2].JobID) Numbered3\s+Succeeded\s+\d\d-\d\d \d\d:\d\d"
    }
}

Describe 'Result deletion' -Tag 'Deletion' {
    BeforeEach {
        $job = Submit-PSWebHostJob Deleted "'to be deleted'" -ExecutionMode Runspace
        [void] (Wait-Result $job)
    }

    It 'deletes the result and its file' {
        Get-JobFile $results $job | Should -HaveCount 1
        $deleted = Remove-PSWebHostJobResults -JobID $job.JobID
        $deleted | Should -BeTrue
        (Get-PSWebHostJobResults).JobID | Should -Not -Contain $job.JobID
        Get-JobFile $results $job | Should -HaveCount 0
    }

    It 'deletes nothing with -WhatIf' {
        Get-PSWebHostJobResults -JobID $job.JobID | Remove-PSWebHostJobResults -WhatIf | Should -BeNullOrEmpty
        (Get-PSWebHostJobResults).JobID | Should -Contain $job.JobID
    }

    It 'takes results from the pipeline' {
        Get-PSWebHostJobResults | Where-Object JobName -EQ Deleted | Remove-PSWebHostJobResults | Should -BeTrue
        (Get-PSWebHostJobResults).JobName | Should -Not -Contain Deleted
    }

    It 'is refused for the results of others, and for what is gone, and says so' {
        $deleted = Remove-PSWebHostJobResults -JobID $job.JobID -ErrorAction SilentlyContinue -ErrorVariable failure @viewer
        $deleted | Should -BeFalse
        $failure[0].CategoryInfo.Category | Should -BeIn 'PermissionDenied', 'ObjectNotFound'
        (Get-PSWebHostJobResults).JobID | Should -Contain $job.JobID
        [void] (Remove-PSWebHostJobResults -JobID $job.JobID)
        { Remove-PSWebHostJobResults -JobID $job.JobID -ErrorAction Stop } |
            Should -Throw "There is no job $($job.JobID)*" -ErrorId 'not_found,Remove-PSWebHostJobResults'
    }
}

Describe 'Files on disk' -Tag 'Files' {
    It 'has a submission wait in JobSubmission, moved to JobOutput and answered in JobResults' {
        $gate = Join-Path $TestDrive 'files'
        $holding = Submit-PSWebHostJob Holding (Get-GatedCommand $gate) -ExecutionMode MainLoop
        $job = Submit-PSWebHostJob Waiting "'done'" -ExecutionMode MainLoop -Description 'on disk'
        $files = Get-JobFile $submissions $job
        $files | Should -HaveCount 1
        $files[0].Directory.Name | Should -Be 'admin'
        $files[0].Name | Should -BeLike "*_Waiting_$($job.JobID).json"
        $kept = Get-Content -Raw $files[0] | ConvertFrom-Json
        $kept.JobID, $kept.UserID, $kept.JobName, $kept.Command, $kept.Description, $kept.ExecutionMode, $kept.Status |
            Should -Be $job.JobID, 'admin', 'Waiting', "'done'", 'on disk', 'MainLoop', 'Pending'
        $kept.Roles | Should -Contain 'debug'

        [void] (New-Item $gate)
        [void] (Wait-Result $job)

        Get-JobFile $submissions $job | Should -HaveCount 0
        Get-JobFile $picked $job | Should -HaveCount 1
        $record = Get-Content -Raw (Join-Path $results "$($job.JobID).json") | ConvertFrom-Json
        $record.Success | Should -BeTrue
        $record.Output.Trim() | Should -Be 'done'
        (Wait-Result $holding).Success | Should -BeTrue
    }
}
