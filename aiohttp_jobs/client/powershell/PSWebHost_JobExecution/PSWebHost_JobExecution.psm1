# Commands for users of a host with aiohttp-jobs: submitting jobs, running its functions, and reading and removing
# results, over HTTP.
# What a job may do, and whose it is, the server decides by the API key. Windows PowerShell 5.1 and PowerShell 7.

Set-StrictMode -Version 2.0
Add-Type -AssemblyName System.Net.Http

$script:Connection = $null
$script:CompletionSeconds = 5
$script:ReconnectSeconds = 1
$script:MostReconnects = 30
$script:Modes = 'MainLoop', 'Runspace', 'BackgroundJob'
$script:Final = 'AuthenticationError', 'PermissionDenied', 'ObjectNotFound', 'InvalidArgument', 'LimitsExceeded'
$script:ProgressInOutput = '\x1b\]9;4;[^\x07\x1b]*(\x07|\x1b\\)'  # shown as a bar already
$script:DateFields = @('SubmittedAt', 'DateStarted', 'DateCompleted')
$script:IsCore = $PSVersionTable.ContainsKey('PSEdition') -and $PSVersionTable.PSEdition -eq 'Core'

# --- where the server is, and with which key

function Get-KeptConfiguration {
    # What the file that aiohttp-jobs configure writes says: a hashtable with url and api_key, as far as it has them.
    $folder = $env:XDG_CONFIG_HOME
    if (-not $folder) { $folder = Join-Path $HOME '.config' }
    $path = Join-Path (Join-Path $folder 'aiohttp-jobs') 'config.toml'
    $kept = @{ Path = $path }
    if (-not (Test-Path -LiteralPath $path -PathType Leaf)) { return $kept }
    Assert-PrivateFile $path
    foreach ($line in [IO.File]::ReadAllLines($path)) {
        if ($line -match '^\s*(url|api_key)\s*=\s*("(?:[^"\\]|\\.)*")\s*(#.*)?$') {
            # A basic string of TOML is one of JSON, but for \U.
            $kept[$Matches[1]] = [string](ConvertFrom-Json ('{"value":' + $Matches[2] + '}')).value
        } elseif ($line -match "^\s*(url|api_key)\s*=\s*'([^']*)'\s*(#.*)?$") {
            $kept[$Matches[1]] = $Matches[2]
        }
    }
    $kept
}

function Assert-PrivateFile([string] $Path) {
    # Throws unless the file is the user's own and nobody else can read it. On Windows profiles are private.
    $item = Get-Item -LiteralPath $Path -Force
    if ($item.LinkType -and $item.PSObject.Methods['ResolveLinkTarget']) {
        $item = Get-Item -LiteralPath $item.ResolveLinkTarget($true).FullName -Force
    }
    $status = $item.PSObject.Properties['UnixStat']
    if (-not $status -or -not $status.Value) { return }
    if ($status.Value.UserId -notin 0, [int](& id -u)) {
        throw (New-Failure "$Path belongs to somebody else; it is not used." 'NotPrivate' 'SecurityError')
    }
    if ($item.UnixMode -notmatch '^.{4}-{6}') {
        $sentence = "$Path holds a key and others can read it. Run: chmod 600 $Path"
        throw (New-Failure $sentence 'NotPrivate' 'SecurityError')
    }
}

function Resolve-Connection([string] $Url, [object] $ApiKey) {
    # The address and the key: of the parameters, of Connect-PSWebHost, of the environment, of the kept file.
    if ($ApiKey -is [securestring]) { $ApiKey = (New-Object Net.NetworkCredential('', $ApiKey)).Password }
    if ($script:Connection) {
        if (-not $Url) { $Url = $script:Connection.Url }
        if (-not $ApiKey) { $ApiKey = $script:Connection.ApiKey }
    }
    if (-not $Url) { $Url = $env:AIOHTTP_JOBS_URL }
    if (-not $ApiKey) { $ApiKey = $env:AIOHTTP_JOBS_API_KEY }
    $kept = @{ Path = '' }
    if (-not $Url -or -not $ApiKey) { $kept = Get-KeptConfiguration }
    if (-not $Url) { $Url = $kept['url'] }
    if (-not $ApiKey) { $ApiKey = $kept['api_key'] }
    $key = "$ApiKey".Trim()
    if (-not $Url -or -not $key) {
        $sentence = 'Say where the server is and with which key: run Connect-PSWebHost -Url ... -ApiKey ..., set ' +
            "AIOHTTP_JOBS_URL and AIOHTTP_JOBS_API_KEY, or run 'aiohttp-jobs configure', which writes $($kept.Path)."
        throw (New-Failure $sentence 'NotConnected' 'ConnectionError')
    }
    if ($key -notmatch '^[\x21-\x7e]+$') {
        $sentence = 'The API key has characters in it that no key has. Copy it again.'
        throw (New-Failure $sentence 'BadApiKey' 'InvalidArgument')
    }
    $address = $null
    $isAddress = [Uri]::TryCreate($Url.TrimEnd('/'), [UriKind]::Absolute, [ref] $address)
    if (-not $isAddress -or $address.Scheme -notin 'http', 'https') {
        $sentence = "'$Url' is no address: give one such as http://127.0.0.1:8080/apps/WebHostTaskManagement."
        throw (New-Failure $sentence 'BadUrl' 'InvalidArgument')
    }
    @{ Url = $address.AbsoluteUri.TrimEnd('/'); ApiKey = $key; IsLocal = $address.IsLoopback }
}

# --- failures

function New-Failure([string] $Message, [string] $Code, [Management.Automation.ErrorCategory] $Category, $Target) {
    # An error record whose message is a sentence and whose id is the server's code, or one of this module.
    New-Object Management.Automation.ErrorRecord((New-Object Exception($Message)), $Code, $Category, $Target)
}

function New-Refusal([hashtable] $To, $Response, [string] $Text, $Target) {
    # The server's refusal: its own sentence, and never the page of a proxy in front of it.
    $status = [int] $Response.StatusCode
    $body = ConvertFrom-ApiJson $Text
    if (-not (Test-Field $body 'error') -or -not (Test-Field $body 'code')) {
        $sentence = "The server at $($To.Url) answered $status $($Response.ReasonPhrase)."
        return New-Failure $sentence 'http_error' (Get-Category $status) $Target
    }
    New-Failure $body.error $body.code (Get-Category $status) $Target
}

function Get-Category([int] $Status) {
    switch ($Status) {
        401 { 'AuthenticationError' }
        403 { 'PermissionDenied' }
        404 { 'ObjectNotFound' }
        409 { 'ResourceBusy' }
        { $_ -in 413, 429, 507 } { 'LimitsExceeded' }
        { $_ -ge 500 } { 'ResourceUnavailable' }
        default { 'InvalidArgument' }
    }
}

function Test-Field($Record, [string] $Name) {
    $null -ne $Record -and $null -ne $Record.PSObject.Properties[$Name]
}

# --- requests

function New-Client([hashtable] $To, [double] $Seconds) {
    # An HttpClient that follows nobody elsewhere with the key, and asks no proxy for this machine.
    if (-not $script:IsCore) {
        $offered = [Net.ServicePointManager]::SecurityProtocol
        [Net.ServicePointManager]::SecurityProtocol = $offered -bor [Net.SecurityProtocolType]::Tls12
    }
    $handler = New-Object Net.Http.HttpClientHandler
    $handler.AllowAutoRedirect = $false
    $handler.UseCookies = $false
    $handler.UseProxy = -not $To.IsLocal
    $client = New-Object Net.Http.HttpClient($handler)
    $client.Timeout = [TimeSpan]::FromSeconds($Seconds)
    $proof = New-Object Net.Http.Headers.AuthenticationHeaderValue('Bearer', $To.ApiKey)
    $client.DefaultRequestHeaders.Authorization = $proof
    $client
}

function Wait-Task([Threading.Tasks.Task] $Task) {
    # The task's result. In steps, so that Ctrl+C is heard.
    while (-not $Task.AsyncWaitHandle.WaitOne(200)) { }
    $Task.GetAwaiter().GetResult()
}

function New-Request([hashtable] $To, [string] $Method, [string] $Path, $Body) {
    $verb = New-Object Net.Http.HttpMethod($Method)
    $request = New-Object Net.Http.HttpRequestMessage($verb, "$($To.Url)/api/v1$Path")
    [void] $request.Headers.TryAddWithoutValidation('X-Requested-With', 'PSWebHost_JobExecution')
    if ($null -ne $Body) {
        $json = ConvertTo-Json $Body -Depth 5 -Compress
        $request.Content = New-Object Net.Http.StringContent($json, [Text.Encoding]::UTF8, 'application/json')
    }
    $request
}

function Invoke-Request([hashtable] $To, [string] $Method, [string] $Path, $Body, $Target, [double] $Seconds = 60) {
    # What the server answered, as an object, or the error record that a failure is: one that is thrown and caught
    # would be in the user's -ErrorVariable besides the one that they are told.
    $client = New-Client $To $Seconds
    try {
        $response = Wait-Task ($client.SendAsync((New-Request $To $Method $Path $Body)))
        $text = Wait-Task ($response.Content.ReadAsStringAsync())
    } catch {
        return New-ConnectionFailure $To $_.Exception $Target
    } finally {
        $client.Dispose()
    }
    if ([int] $response.StatusCode -ge 400) { return New-Refusal $To $response $text $Target }
    $answer = ConvertFrom-ApiJson $text
    if (Test-Field $answer 'success') { $answer } else { New-StrangeAnswer $To $Target }
}

function Invoke-Api([hashtable] $To, [string] $Method, [string] $Path, $Body, $Target, [double] $Seconds = 60) {
    # The same for what cannot go on without: throws the error record.
    $answer = Invoke-Request $To $Method $Path $Body $Target $Seconds
    if ($answer -is [Management.Automation.ErrorRecord]) { throw $answer }
    $answer
}

function New-ConnectionFailure([hashtable] $To, [Exception] $Exception, $Target) {
    $reason = $Exception
    while ($reason.InnerException) { $reason = $reason.InnerException }
    $said = $reason.Message
    if ($reason -is [OperationCanceledException] -or $reason -is [TimeoutException]) {
        $said = 'It did not answer in time.'
    }
    New-Failure "The server at $($To.Url) cannot be reached: $said" 'unreachable' 'ConnectionError' $Target
}

function New-StrangeAnswer([hashtable] $To, $Target) {
    $sentence = "At $($To.Url) something else answers than aiohttp-jobs. Check the address."
    New-Failure $sentence 'not_aiohttp_jobs' 'InvalidData' $Target
}

# --- answers

function ConvertFrom-ApiJson([string] $Text) {
    # The object that a JSON text is, with every text in it left as it is; $null for anything but JSON.
    try {
        if (-not $script:IsCore) { return ConvertFrom-Json $Text }  # makes no dates of texts
        $document = [Text.Json.JsonDocument]::Parse($Text)
        try { ConvertFrom-Element $document.RootElement } finally { $document.Dispose() }
    } catch {
        $null
    }
}

function ConvertFrom-Element($Element) {
    # PowerShell 7's ConvertFrom-Json would make a date of an output that looks like one.
    switch ([string] $Element.ValueKind) {
        'Object' {
            $record = [ordered]@{}
            foreach ($each in $Element.EnumerateObject()) {
                $record[$each.Name] = ConvertFrom-Element $each.Value
            }
            [pscustomobject] $record
        }
        'Array' { , @(foreach ($each in $Element.EnumerateArray()) { ConvertFrom-Element $each }) }
        'String' { $Element.GetString() }
        'Number' {
            $whole = [long] 0
            if ($Element.TryGetInt64([ref] $whole)) { $whole } else { $Element.GetDouble() }
        }
        'True' { $true }
        'False' { $false }
        default { $null }
    }
}

function ConvertTo-JobResult($Record) {
    # A record with its dates as dates, in the user's own time, as everything else in PowerShell has them.
    $culture = [Globalization.CultureInfo]::InvariantCulture
    foreach ($name in $script:DateFields) {
        if ((Test-Field $Record $name) -and $Record.$name) {
            $Record.$name = [DateTimeOffset]::Parse($Record.$name, $culture).LocalDateTime
        }
    }
    $Record.PSObject.TypeNames.Insert(0, 'PSWebHost.JobResult')
    $Record
}

function Assert-SameUser([hashtable] $To, [string] $UserID) {
    # Warns when a command names another user than the key's: the server goes by the key.
    $me = (Invoke-Api $To GET '/me').me
    if ($me.userId -cne $UserID) {
        Write-Warning "The server goes by the API key, which is $($me.userId)'s: -UserID $UserID changes nothing."
    }
}

# --- a job as it happens

function Read-JobEvent([hashtable] $To, [string] $JobID, [string] $Position) {
    # The job's events from $Position on, as far as this connection brings them.
    $client = New-Client $To ([Threading.Timeout]::InfiniteTimeSpan.TotalSeconds)
    $reader = $null
    try {
        $request = New-Request $To GET "/jobs/$JobID/events"
        if ($Position) { [void] $request.Headers.TryAddWithoutValidation('Last-Event-ID', $Position) }
        $response = Wait-Task ($client.SendAsync($request, [Net.Http.HttpCompletionOption]::ResponseHeadersRead))
        if ([int] $response.StatusCode -ge 400) {
            $text = Wait-Task ($response.Content.ReadAsStringAsync())
            throw (New-Refusal $To $response $text $JobID)
        }
        $reader = New-Object IO.StreamReader((Wait-Task ($response.Content.ReadAsStreamAsync())), [Text.Encoding]::UTF8)
        $fields = @{}
        while ($null -ne ($line = Wait-Task ($reader.ReadLineAsync()))) {
            if ($line) {
                $name, $value = $line.Split(':', 2)
                $fields[$name] = "$value" -replace '^ ', ''
            } elseif ($fields.Count) {
                if ($fields['event'] -in 'output', 'status', 'progress', 'end') {
                    $data = ConvertFrom-ApiJson $fields['data']
                    [pscustomobject]@{ Name = $fields['event']; Position = $fields['id']; Data = $data }
                }
                $fields = @{}
            }
        }
    } finally {
        if ($reader) { $reader.Dispose() }
        $client.Dispose()
    }
}

function Watch-Job([hashtable] $To, [string] $JobID) {
    # The job's output, line by line as it comes, then its last event. Connects again when the stream breaks off.
    $state = @{ Position = ''; Rest = ''; End = $null; Failures = 0; IsShown = $false }
    while (-not $state.End) {
        try {
            Read-JobEvent $To $JobID $state.Position | ForEach-Object {
                $state.Failures = 0
                if ($_.Position) { $state.Position = $_.Position }
                if ($_.Name -eq 'end') { $state.End = $_.Data }
                if ($_.Name -eq 'status') { Write-Verbose "Job ${JobID}: $($_.Data.Status)" }
                if ($_.Name -eq 'progress') { Show-JobProgress $state $JobID $_.Data }
                if ($_.Name -eq 'output') { Split-Output $state $_.Data.Text }
            }
        } catch {
            $isRefused = $_.CategoryInfo.Category -in $script:Final
            if ($isRefused -or $state.Failures -ge $script:MostReconnects) {
                if ($_.FullyQualifiedErrorId -match '^[a-z_]+$') { throw }
                throw (New-ConnectionFailure $To $_.Exception $JobID)
            }
        }
        if (-not $state.End) {
            $state.Failures++
            if ($state.Failures -gt $script:MostReconnects) {
                throw (New-ConnectionFailure $To (New-Object Exception('The stream of the job breaks off.')) $JobID)
            }
            Start-Sleep -Seconds $script:ReconnectSeconds
        }
    }
    Show-JobProgress $state $JobID $null
    if ($state.Rest) { Format-OutputLine $state.Rest }
    $state.End.PSObject.TypeNames.Insert(0, 'PSWebHost.JobEnd')
    $state.End
}

function Show-JobProgress([hashtable] $State, [string] $JobID, [object] $Told) {
    # How far the job says it is, as PowerShell shows such things; nothing any more for what has no share.
    $activity = "Job $JobID"
    if (-not $Told -or -not $Told.PSObject.Properties['share']) {
        if ($State.IsShown) { Write-Progress -Activity $activity -Completed }
        return
    }
    $State.IsShown = $true
    $percent = if ($null -eq $Told.share) { -1 } else { [int] [Math]::Floor($Told.share * 100) }
    $status = if ($Told.text) { $Told.text } else { 'Running' }
    Write-Progress -Activity $activity -Status $status -PercentComplete $percent
}

function Split-Output([hashtable] $State, [string] $Text) {
    # The whole lines of what was printed so far; what has no end yet stays in $State.Rest.
    $lines = ($State.Rest + $Text).Split([char] 10)
    $State.Rest = $lines[-1]
    for ($at = 0; $at -lt $lines.Length - 1; $at++) { Format-OutputLine $lines[$at] }
}

function Format-OutputLine([string] $Line) {
    # Of a progress bar, the state that a terminal would show last.
    $Line = $Line.TrimEnd([char] 13)
    $Line.Substring($Line.LastIndexOf([char] 13) + 1)
}

function New-Submission($Answer, [string] $JobName) {
    # What is told of a job that was submitted; as a text its id.
    $submission = [pscustomobject]@{
        PSTypeName = 'PSWebHost.JobSubmission'
        JobID = $Answer.jobId; JobName = $JobName
        ExecutionMode = $Answer.executionMode; Message = $Answer.message
    }
    $submission | Add-Member -MemberType ScriptMethod -Name ToString -Value { $this.JobID } -Force
    $submission
}

function New-JobFailure($Ended) {
    $why = if ($Ended.ExitCode) { " with exit code $($Ended.ExitCode)" } else { '' }
    $sentence = "The job '$($Ended.JobName)' ($($Ended.JobID)) ended as $($Ended.Status)$why."
    New-Failure $sentence 'JobFailed' 'InvalidResult' (ConvertTo-JobResult $Ended)
}

# --- functions

function ConvertTo-FunctionValue($Value) {
    # A value as JSON has it: dates are texts (a day without a time is that day), and secrets, too.
    if ($Value -is [securestring]) { return (New-Object Net.NetworkCredential('', $Value)).Password }
    if ($Value -is [datetime]) {
        if ($Value.TimeOfDay.Ticks -eq 0) { return $Value.ToString('yyyy-MM-dd') }
        $Value = New-Object DateTimeOffset($Value)
    }
    if ($Value -is [DateTimeOffset]) { return $Value.ToString('yyyy-MM-ddTHH:mm:ss.ffffffzzz') }
    if ($Value -is [array]) { return , @($Value | ForEach-Object { ConvertTo-FunctionValue $_ }) }
    $Value
}

function ConvertTo-JobFunction($Record) {
    $Record.PSObject.TypeNames.Insert(0, 'PSWebHost.JobFunction')
    $Record
}

# --- the commands

function Connect-PSWebHost {
    <#
    .SYNOPSIS
    Says where the server is and with which API key the other commands use it.

    .DESCRIPTION
    What is not given comes from AIOHTTP_JOBS_URL and AIOHTTP_JOBS_API_KEY, and then from the file that
    'aiohttp-jobs configure' writes (~/.config/aiohttp-jobs/config.toml, or below XDG_CONFIG_HOME). That file must be
    your own and readable by nobody else. The key is tried, and kept in this session's memory only. Without this
    command the others look for the address and the key in the same places at each call.

    .PARAMETER Url
    Where the plugin is mounted, such as http://127.0.0.1:8080/apps/WebHostTaskManagement.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString. A text that is typed stays in the history: better
    (Read-Host -AsSecureString), the environment or the file.

    .OUTPUTS
    An object that tells who the server takes you for: Url, UserID, Roles, Modes.

    .EXAMPLE
    $key = Read-Host 'API key' -AsSecureString
    Connect-PSWebHost -Url http://127.0.0.1:8080/apps/WebHostTaskManagement -ApiKey $key

    .EXAMPLE
    Connect-PSWebHost

    With the address and the key that 'aiohttp-jobs configure' keeps.
    #>
    [CmdletBinding()]
    param(
        [Parameter(Position = 0)] [string] $Url,
        [Parameter(Position = 1)] [object] $ApiKey
    )
    $before = $script:Connection
    $script:Connection = $null
    try {
        $to = Resolve-Connection $Url $ApiKey
        $me = (Invoke-Api $to GET '/me').me
        $script:Connection = $to
        [pscustomobject]@{
            PSTypeName = 'PSWebHost.Connection'
            Url = $to.Url; UserID = $me.userId; Roles = @($me.roles); Modes = @($me.modes)
        }
    } catch {
        $script:Connection = $before
        $PSCmdlet.ThrowTerminatingError($_)
    }
}

function Submit-PSWebHostJob {
    <#
    .SYNOPSIS
    Submits a command as a job.

    .DESCRIPTION
    The job runs on the server, in one of three modes, as the user whose API key this is. With -Wait its output comes
    as it is written, and an error follows when the job does not succeed. Ctrl+C ends the waiting, not the job.

    .PARAMETER UserID
    Accepted as in the specification. The server takes the user from the API key; a warning says so when this is
    another one.

    .PARAMETER SessionID
    Accepted as in the specification. The server names the session itself.

    .PARAMETER JobName
    What the job is called in lists and results.

    .PARAMETER Command
    What runs: a text, or a script block, whose text it is.

    .PARAMETER Description
    What the job is for.

    .PARAMETER ExecutionMode
    MainLoop (needs the role debug), Runspace or BackgroundJob. BackgroundJob if nothing is said.

    .PARAMETER Roles
    Accepted as in the specification. The server gives the job the roles of the key.

    .PARAMETER Interpreter
    What reads the command: powershell, shell, bash or python. The server's default if nothing is said.

    .PARAMETER TimeoutSeconds
    After how many seconds the job is stopped. The server's default if nothing is said.

    .PARAMETER Wait
    Write the job's output to the pipeline, line by line as it comes, until the job has ended.

    .PARAMETER Url
    Where the plugin is mounted, if it is not the connection's own address. See Connect-PSWebHost.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString, if it is not the connection's own. See Connect-PSWebHost.

    .OUTPUTS
    An object with JobID, JobName, ExecutionMode and Message; with -Wait the lines of the output.

    .EXAMPLE
    $job = Submit-PSWebHostJob -JobName MyJob -Command 'Get-Date' -ExecutionMode Runspace
    Get-PSWebHostJobResults -JobID $job.JobID

    .EXAMPLE
    Submit-PSWebHostJob -JobName Processes -Command { Get-Process | Select-Object -First 5 } -Wait
    #>
    [CmdletBinding()]
    param(
        [string] $UserID,
        [string] $SessionID,
        [Parameter(Mandatory = $true, Position = 0)] [string] $JobName,
        [Parameter(Mandatory = $true, Position = 1)] [string] $Command,
        [string] $Description = '',
        [ValidateSet('MainLoop', 'Runspace', 'BackgroundJob')] [string] $ExecutionMode = 'BackgroundJob',
        [string[]] $Roles,
        [ValidateSet('powershell', 'shell', 'bash', 'python')] [string] $Interpreter,
        [double] $TimeoutSeconds,
        [switch] $Wait,
        [string] $Url,
        [object] $ApiKey
    )
    $ended = $null
    try {
        $to = Resolve-Connection $Url $ApiKey
        if ($UserID) { Assert-SameUser $to $UserID }
        $mode = @($script:Modes -eq $ExecutionMode)[0]  # in the server's spelling
        $body = @{ jobName = $JobName; command = $Command; executionMode = $mode; description = $Description }
        if ($Interpreter) { $body.interpreter = $Interpreter.ToLowerInvariant() }
        if ($PSBoundParameters.ContainsKey('TimeoutSeconds')) { $body.timeoutSeconds = $TimeoutSeconds }
        $answer = Invoke-Api $to POST '/jobs/submit' $body $JobName
        if (-not $Wait) { return New-Submission $answer $JobName }
        Write-Verbose "Job $($answer.jobId) was submitted."
        Watch-Job $to $answer.jobId | ForEach-Object {
            if ($_ -is [string]) { $_ } else { $ended = $_ }
        }
    } catch {
        $PSCmdlet.ThrowTerminatingError($_)
    }
    if (-not $ended.Success) { $PSCmdlet.WriteError((New-JobFailure $ended)) }
}

function Get-PSWebHostJobResults {
    <#
    .SYNOPSIS
    Gets the results of your jobs, the newest first.

    .DESCRIPTION
    Each result is an object with the fields of the specification: JobID, JobName, Command, ExecutionMode, DateStarted
    and DateCompleted (dates, in your own time), Runtime (seconds), Output, Success and more, of one of the host's
    functions Function, FunctionValues and ReturnValue. A table shows some of them; Format-List * all.

    .PARAMETER UserID
    Accepted as in the specification. The server answers with the results of the key's user; a warning says so when
    this is another one.

    .PARAMETER MaxResults
    How many at most, from 1 to 1000.

    .PARAMETER JobID
    Only the results of these jobs. Each that has no result is an error, and the others follow. Also from the pipeline.

    .PARAMETER Url
    Where the plugin is mounted, if it is not the connection's own address. See Connect-PSWebHost.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString, if it is not the connection's own. See Connect-PSWebHost.

    .OUTPUTS
    PSWebHost.JobResult

    .EXAMPLE
    Get-PSWebHostJobResults -MaxResults 50 | Where-Object Success -eq $false

    .EXAMPLE
    Get-PSWebHostJobResults | Where-Object DateCompleted -lt (Get-Date).AddDays(-7) | Remove-PSWebHostJobResults
    #>
    [CmdletBinding(DefaultParameterSetName = 'Newest')]
    param(
        [string] $UserID,
        [Parameter(ParameterSetName = 'Newest')] [ValidateRange(1, 1000)] [int] $MaxResults = 100,
        [Parameter(ParameterSetName = 'Named', Mandatory = $true, Position = 0,
            ValueFromPipeline = $true, ValueFromPipelineByPropertyName = $true)]
        [string[]] $JobID,
        [string] $Url,
        [object] $ApiKey
    )
    begin {
        try {
            $to = Resolve-Connection $Url $ApiKey
            if ($UserID) { Assert-SameUser $to $UserID }
        } catch {
            $PSCmdlet.ThrowTerminatingError($_)
        }
    }
    process {
        if ($PSCmdlet.ParameterSetName -eq 'Newest') {
            try {
                $answer = Invoke-Api $to GET "/jobs/results?maxResults=$MaxResults"
            } catch {
                $PSCmdlet.ThrowTerminatingError($_)
            }
            foreach ($record in @($answer.results)) { ConvertTo-JobResult $record }
            return
        }
        foreach ($id in $JobID) {
            $answer = Invoke-Request $to GET "/results/$([Uri]::EscapeDataString($id))" $null $id
            if ($answer -is [Management.Automation.ErrorRecord]) {
                $PSCmdlet.WriteError($answer)
            } else {
                ConvertTo-JobResult $answer.result
            }
        }
    }
}

function Remove-PSWebHostJobResults {
    <#
    .SYNOPSIS
    Deletes results of your jobs.

    .DESCRIPTION
    A result that is not there, or is somebody else's, is an error, and the others are deleted all the same.

    .PARAMETER JobID
    The jobs whose results are deleted. Also from the pipeline.

    .PARAMETER Url
    Where the plugin is mounted, if it is not the connection's own address. See Connect-PSWebHost.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString, if it is not the connection's own. See Connect-PSWebHost.

    .OUTPUTS
    For each result $true when it was deleted and $false when not.

    .EXAMPLE
    $deleted = Remove-PSWebHostJobResults -JobID a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d

    .EXAMPLE
    Get-PSWebHostJobResults | Where-Object JobName -like 'test*' | Remove-PSWebHostJobResults -WhatIf
    #>
    [CmdletBinding(SupportsShouldProcess = $true)]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory = $true, Position = 0, ValueFromPipeline = $true, ValueFromPipelineByPropertyName = $true)]
        [string[]] $JobID,
        [string] $Url,
        [object] $ApiKey
    )
    begin {
        try { $to = Resolve-Connection $Url $ApiKey } catch { $PSCmdlet.ThrowTerminatingError($_) }
    }
    process {
        foreach ($id in $JobID) {
            if (-not $PSCmdlet.ShouldProcess("result of job $id", 'Delete')) { continue }
            $answer = Invoke-Request $to DELETE "/jobs/results?jobId=$([Uri]::EscapeDataString($id))" $null $id
            $isDeleted = $answer -isnot [Management.Automation.ErrorRecord]
            if (-not $isDeleted) { $PSCmdlet.WriteError($answer) }
            $isDeleted
        }
    }
}

function Process-PSWebHostJobSubmissions {
    <#
    .SYNOPSIS
    Has the host pick up submissions now.

    .DESCRIPTION
    The host does so by itself: at once for what is submitted with Submit-PSWebHostJob, and every two seconds for files
    that other programs put into JobSubmission. This asks it not to wait. It needs one of the roles debug,
    task_manager, system_admin, site_admin.

    .PARAMETER Url
    Where the plugin is mounted, if it is not the connection's own address. See Connect-PSWebHost.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString, if it is not the connection's own. See Connect-PSWebHost.

    .OUTPUTS
    None.

    .EXAMPLE
    Process-PSWebHostJobSubmissions
    #>
    [CmdletBinding()]
    param(
        [string] $Url,
        [object] $ApiKey
    )
    try {
        [void] (Invoke-Api (Resolve-Connection $Url $ApiKey) POST '/queue/pick-up')
    } catch {
        $PSCmdlet.ThrowTerminatingError($_)
    }
}

function Get-PSWebHostJobFunction {
    <#
    .SYNOPSIS
    Gets the host's own functions that you may run as jobs.

    .DESCRIPTION
    Each is an object with Name, Title, Description, Modes, Parameters (name, type, required, default, choices and more)
    and its JSON schema. A table shows some of that; Format-List * all.

    .PARAMETER Name
    Only the function of this name. One that is not there, or not yours to run, is an error.

    .PARAMETER Url
    Where the plugin is mounted, if it is not the connection's own address. See Connect-PSWebHost.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString, if it is not the connection's own. See Connect-PSWebHost.

    .OUTPUTS
    PSWebHost.JobFunction

    .EXAMPLE
    Get-PSWebHostJobFunction

    .EXAMPLE
    (Get-PSWebHostJobFunction rebuild).Parameters | Format-Table name, type, required, default
    #>
    [CmdletBinding()]
    param(
        [Parameter(Position = 0)] [string] $Name,
        [string] $Url,
        [object] $ApiKey
    )
    try {
        $to = Resolve-Connection $Url $ApiKey
        if ($Name) {
            $path = "/functions/$([Uri]::EscapeDataString($Name))"
            return ConvertTo-JobFunction (Invoke-Api $to GET $path $null $Name).function
        }
        foreach ($record in @((Invoke-Api $to GET '/functions').functions)) { ConvertTo-JobFunction $record }
    } catch {
        $PSCmdlet.ThrowTerminatingError($_)
    }
}

function Invoke-PSWebHostJobFunction {
    <#
    .SYNOPSIS
    Runs one of the host's own functions as a job.

    .DESCRIPTION
    The values go to the server as data; it says which of them the function does not take. With -Wait what the function
    prints is shown as it comes, and what it returns is written to the pipeline; an error follows when the job does not
    succeed. Ctrl+C ends the waiting, not the job.

    .PARAMETER Name
    The function's name. Get-PSWebHostJobFunction lists them.

    .PARAMETER Values
    The values of its parameters by their names, as in @{ index = 'users'; dry_run = $true }. Dates may be dates, and
    secrets SecureStrings.

    .PARAMETER ExecutionMode
    Where it runs, if not as it does by itself.

    .PARAMETER JobName
    What the job is called in lists and results, if not as the function.

    .PARAMETER TimeoutSeconds
    After how many seconds the job is stopped. The function's own limit if nothing is said.

    .PARAMETER Wait
    Wait until the job has ended, and write what the function has returned to the pipeline.

    .PARAMETER Url
    Where the plugin is mounted, if it is not the connection's own address. See Connect-PSWebHost.

    .PARAMETER ApiKey
    The API key, as a text or a SecureString, if it is not the connection's own. See Connect-PSWebHost.

    .OUTPUTS
    An object with JobID, JobName, ExecutionMode and Message; with -Wait what the function returned.

    .EXAMPLE
    $counts = Invoke-PSWebHostJobFunction -Name rebuild -Values @{ index = 'users' } -Wait

    .EXAMPLE
    Invoke-PSWebHostJobFunction login @{ user = 'me'; password = Read-Host -AsSecureString }
    #>
    [CmdletBinding()]
    param(
        [Parameter(Mandatory = $true, Position = 0)] [string] $Name,
        [Parameter(Position = 1)] [Collections.IDictionary] $Values = @{},
        [ValidateSet('MainLoop', 'Runspace', 'BackgroundJob')] [string] $ExecutionMode,
        [string] $JobName,
        [double] $TimeoutSeconds,
        [switch] $Wait,
        [string] $Url,
        [object] $ApiKey
    )
    $ended = $null
    try {
        $to = Resolve-Connection $Url $ApiKey
        $given = @{}
        foreach ($each in $Values.Keys) { $given["$each"] = ConvertTo-FunctionValue $Values[$each] }
        $body = @{ values = $given }
        if ($ExecutionMode) { $body.executionMode = @($script:Modes -eq $ExecutionMode)[0] }
        if ($JobName) { $body.jobName = $JobName }
        if ($PSBoundParameters.ContainsKey('TimeoutSeconds')) { $body.timeoutSeconds = $TimeoutSeconds }
        $answer = Invoke-Api $to POST "/functions/$([Uri]::EscapeDataString($Name))/run" $body $Name
        if (-not $Wait) { return New-Submission $answer $(if ($JobName) { $JobName } else { $Name }) }
        Write-Verbose "Job $($answer.jobId) was submitted."
        Watch-Job $to $answer.jobId | ForEach-Object {
            if ($_ -is [string]) { Write-Host ($_ -replace $script:ProgressInOutput, '') } else { $ended = $_ }
        }
    } catch {
        $PSCmdlet.ThrowTerminatingError($_)
    }
    if (-not $ended.Success) {
        $PSCmdlet.WriteError((New-JobFailure $ended))
    } elseif (Test-Field $ended 'ReturnValue') {
        $ended.ReturnValue
    }
}

# --- completion

$functionCommands = 'Get-PSWebHostJobFunction', 'Invoke-PSWebHostJobFunction'
Register-ArgumentCompleter -CommandName $functionCommands -ParameterName Name -ScriptBlock {
    param($commandName, $parameterName, $wordToComplete, $commandAst, $bound)
    try {
        $to = Resolve-Connection $bound['Url'] $bound['ApiKey']
        foreach ($each in @((Invoke-Api $to GET '/functions' $null $null $script:CompletionSeconds).functions)) {
            if ($each.Name -like "$wordToComplete*") {
                New-Object Management.Automation.CompletionResult($each.Name, $each.Name, 'ParameterValue', $each.Title)
            }
        }
    } catch {
        # Whoever presses Tab wants no error.
    }
}

$named = 'Get-PSWebHostJobResults', 'Remove-PSWebHostJobResults'
Register-ArgumentCompleter -CommandName $named -ParameterName JobID -ScriptBlock {
    param($commandName, $parameterName, $wordToComplete, $commandAst, $bound)
    try {
        $to = Resolve-Connection $bound['Url'] $bound['ApiKey']
        foreach ($each in @((Invoke-Api $to GET '/results?limit=100' $null $null $script:CompletionSeconds).results)) {
            if ($each.JobID -like "$wordToComplete*") {
                $shown = "$($each.JobID)  $($each.JobName)"
                $hint = "$($each.Status), $($each.DateCompleted)"
                New-Object Management.Automation.CompletionResult($each.JobID, $shown, 'ParameterValue', $hint)
            }
        }
    } catch {
        # Whoever presses Tab wants no error.
    }
}
