# How the PowerShell module finds its host, and what it says when something is wrong.
# Started by tests/acceptance/test_pester.py, which says in variables where the host, its keys and its folder are.

BeforeAll {
    $text = [IO.File]::ReadAllText((Join-Path $env:JOBS_TEST_MODULE 'PSWebHost_JobExecution.psm1'))

    # The module without what Connect-PSWebHost told it, and nothing in the environment.
    function Reset-Module {
        Import-Module $env:JOBS_TEST_MODULE -DisableNameChecking -Force
        'AIOHTTP_JOBS_URL', 'AIOHTTP_JOBS_API_KEY' | ForEach-Object { Remove-Item "env:$_" -ErrorAction Ignore }
        $env:XDG_CONFIG_HOME = Join-Path $TestDrive ([guid]::NewGuid())
        $folder = New-Item -ItemType Directory (Join-Path $env:XDG_CONFIG_HOME 'aiohttp-jobs')
        Join-Path $folder.FullName 'config.toml'
    }
}

Describe 'The connection' -Tag 'Connection' {
    BeforeEach { $file = Reset-Module }

    It 'is made with the parameters, and then stands for all commands' {
        $key = ConvertTo-SecureString $env:JOBS_TEST_VIEWER_KEY -AsPlainText -Force
        $me = Connect-PSWebHost -Url $env:JOBS_TEST_URL -ApiKey $key
        $me.UserID, "$($me.Roles)" | Should -Be 'viewer', 'authenticated'
        $me | Out-String | Should -Not -Match ([regex]::Escape($env:JOBS_TEST_VIEWER_KEY))
        { Get-PSWebHostJobResults } | Should -Not -Throw
    }

    It 'comes from the environment' {
        $env:AIOHTTP_JOBS_URL, $env:AIOHTTP_JOBS_API_KEY = $env:JOBS_TEST_URL, $env:JOBS_TEST_OPERATOR_KEY
        (Connect-PSWebHost).UserID | Should -Be 'operator'
    }

    It 'comes from the file of the command line, when only its owner can read it' {
        "# mine`nurl = `"$env:JOBS_TEST_URL`"`napi_key = '$env:JOBS_TEST_VIEWER_KEY' # secret" | Set-Content $file
        chmod 644 $file
        { Get-PSWebHostJobResults } | Should -Throw '*others can read it*chmod 600*' -ErrorId 'NotPrivate,*'
        chmod 600 $file
        (Connect-PSWebHost).UserID | Should -Be 'viewer'
    }

    It 'is asked for where there is none' {
        { Get-PSWebHostJobResults } | Should -Throw '*run Connect-PSWebHost*' -ErrorId 'NotConnected,*'
    }

    It 'stays as it was when another key does not hold' {
        [void] (Connect-PSWebHost $env:JOBS_TEST_URL $env:JOBS_TEST_VIEWER_KEY)
        { Connect-PSWebHost $env:JOBS_TEST_URL wrong } | Should -Throw -ErrorId 'not_authenticated,Connect-PSWebHost'
        { Get-PSWebHostJobResults } | Should -Not -Throw
    }
}

Describe 'Failures' -Tag 'Failures' {
    BeforeAll { [void] (Reset-Module); [void] (Connect-PSWebHost $env:JOBS_TEST_URL $env:JOBS_TEST_VIEWER_KEY) }

    It 'tells of a server that is not there' {
        { Get-PSWebHostJobResults -Url http://127.0.0.1:1/x } | Should -Throw '*cannot be reached*' -ErrorId 'unreachable,*'
    }

    It 'tells of a page that is not the API, without its HTML' {
        $page = $env:JOBS_TEST_URL -replace '/apps/.*', '/missing'
        { Get-PSWebHostJobResults -Url $page } | Should -Throw "The server at $page answered 404 Not Found." -ErrorId 'http_error,*'
    }

    It 'has the sentence of the server' {
        { Submit-PSWebHostJob -JobName ('x' * 200) -Command "'y'" -ApiKey $env:JOBS_TEST_OPERATOR_KEY } |
            Should -Throw 'jobName must have at most*' -ErrorId 'invalid_fields,Submit-PSWebHostJob'
    }
}

Describe 'Completion' -Tag 'Completion' {
    It 'offers the modes' {
        [void] (Reset-Module)
        $line = 'Submit-PSWebHostJob -ExecutionMode '
        $found = (TabExpansion2 $line $line.Length).CompletionMatches.CompletionText | Sort-Object
        $found | Should -Be 'BackgroundJob', 'MainLoop', 'Runspace'
    }

    It 'offers the ids of jobs' {
        [void] (Connect-PSWebHost $env:JOBS_TEST_URL $env:JOBS_TEST_OPERATOR_KEY)
        $job = Submit-PSWebHostJob Completed "'x'" -ExecutionMode Runspace
        [void] (Submit-PSWebHostJob Later "'y'" -ExecutionMode Runspace -Wait)
        $end = (Get-Date).AddMinutes(3)
        $line = "Remove-PSWebHostJobResults -JobID $($job.JobID.Substring(0, 8))"
        while (-not ($found = (TabExpansion2 $line $line.Length).CompletionMatches) -and (Get-Date) -lt $end) {
            Start-Sleep -Milliseconds 200
        }
        $found.CompletionText | Should -Be $job.JobID
        $found.ListItemText | Should -BeLike '*Completed'
    }
}

Describe 'Waiting' -Tag 'Waiting' {
    It 'shows how far the job says it is' {
        $shell = [PowerShell]::Create()
        [void] $shell.AddScript({
            param($module, $url, $key)
            Import-Module $module -DisableNameChecking
            [void] (Connect-PSWebHost $url $key)
            $command = "printf '\033]9;4;1;42;420%%20rows\a'; sleep 2"
            Submit-PSWebHostJob Bar $command -Interpreter shell -Wait
        }).AddArgument($env:JOBS_TEST_MODULE).AddArgument($env:JOBS_TEST_URL).AddArgument($env:JOBS_TEST_OPERATOR_KEY)
        [void] $shell.Invoke()
        $told = @($shell.Streams.Progress | Where-Object Activity -like 'Job *')
        $told[0].PercentComplete, $told[0].StatusDescription | Should -Be 42, '420 rows'
        "$($told[-1].RecordType)" | Should -Be 'Completed'
        $shell.Dispose()
    }
}

Describe 'Functions' -Tag 'Functions' {
    It 'are listed, completed and run, and what they return comes as objects' {
        [void] (Reset-Module)
        [void] (Connect-PSWebHost $env:JOBS_TEST_URL $env:JOBS_TEST_OPERATOR_KEY)
        (Get-PSWebHostJobFunction).Name | Should -Contain 'sales_report'
        (Get-PSWebHostJobFunction sales_report).Parameters.name | Should -Be 'region', 'months', 'price'
        $line = 'Invoke-PSWebHostJobFunction -Name sal'
        (TabExpansion2 $line $line.Length).CompletionMatches.CompletionText | Should -Be 'sales_report'

        $values = @{ region = 'north'; months = 2 }
        $rows = Invoke-PSWebHostJobFunction sales_report $values -Wait -InformationVariable printed
        $rows.month | Should -Be 1, 2
        "$printed" | Should -Be "$(($rows.sold | Measure-Object -Sum).Sum) sold in north"
        (Invoke-PSWebHostJobFunction sales_report $values -JobName Later).JobName | Should -Be 'Later'
        { Invoke-PSWebHostJobFunction sales_report @{ region = 'east' } } |
            Should -Throw '*values.region*' -ErrorId 'invalid_fields,Invoke-PSWebHostJobFunction'
    }
}

Describe 'Windows PowerShell 5.1' -Tag 'Syntax' {
    It 'can read the module, as far as its syntax and characters go' {
        $text | Should -Not -Match '[^\x00-\x7f]'  # without a mark at its start 5.1 takes a file for Latin 1
        $tokens, $errors = $null
        $tree = [Management.Automation.Language.Parser]::ParseInput($text, [ref] $tokens, [ref] $errors)
        $errors | Should -BeNullOrEmpty
        $newer = 'TernaryExpressionAst', 'PipelineChainAst'
        $tree.FindAll({ $args[0].GetType().Name -in $newer }, $true) | Should -BeNullOrEmpty
        $kinds = 'QuestionQuestion', 'QuestionQuestionEquals', 'QuestionDot', 'QuestionLBracket', 'Clean'
        $tokens | Where-Object { [string] $_.Kind -in $kinds } | Should -BeNullOrEmpty
    }
}
