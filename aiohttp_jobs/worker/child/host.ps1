# A PowerShell process that runs jobs one after the other: each in a runspace that was opened before it came, or
# all of them in one session that lasts. It is told what to run, and answers, in JSON lines over a socket of its
# own. Which jobs it gets, and when it is ended, is left to who started it.
param(
    [Parameter(Mandatory)][int] $Control,  # the descriptor of the socket
    [Parameter(Mandatory)][int] $Width,    # columns of a table
    [switch] $Lasting
)

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
foreach ($name in 'DOTNET_GCgen0size', 'DOTNET_TieredPGO', 'POWERSHELL_TELEMETRY_OPTOUT', 'POWERSHELL_UPDATECHECK') {
    [Environment]::SetEnvironmentVariable($name, [NullString]::Value)  # meant for this process, and not for what a job starts
}
$OutputEncoding = [Console]::OutputEncoding = [Text.UTF8Encoding]::new($false)

function New-NativeMethods {
    # What .NET has no public call for, without the compiler that Add-Type would load.
    $module = [Reflection.Emit.AssemblyBuilder]::DefineDynamicAssembly('AiohttpJobs', 'Run').DefineDynamicModule('Native')
    $type = $module.DefineType('Native', 'Public')
    $calls = [ordered]@{
        ioctl = [int], [UIntPtr]; kill = [int], [int]; poll = [int[]], [UIntPtr], [int]; read = [int], [byte[]], [UIntPtr]
        waitid = [int], [int], [IntPtr], [int]; write = [int], [byte[]], [UIntPtr]
    }
    foreach ($name in $calls.Keys) {
        $method = $type.DefinePInvokeMethod(
            $name, 'libc', 'Public, Static, PinvokeImpl', 'Standard', [int], [type[]]$calls[$name], 'Winapi', 'Ansi')
        $method.SetImplementationFlags('PreserveSig')
    }
    $type.CreateType()
}

$native = New-NativeMethods
if ($PSVersionTable.PSVersion -lt '7.2') {
    # What follows does not work there, a socket of .NET's neither.
    $text = [Text.Encoding]::ASCII.GetBytes("{`"version`": `"$($PSVersionTable.PSVersion)`"}`n")
    $null = $native::write($Control, $text, [UIntPtr]::new([uint32] $text.Length))
    exit 1
}

function Set-ConsoleWidth([int] $Columns) {
    # Without a terminal .NET knows 80 columns and no public way to others. A .NET that keeps this elsewhere: 80.
    try {
        $flags = [Reflection.BindingFlags]'NonPublic, Public, Static, Instance'
        $null = [Console]::BufferWidth
        $console = [Console].Assembly.GetType('System.ConsolePal')
        $terminal = $console.GetField('s_terminalFormatStringsInstance', $flags).GetValue($null).Value
        $terminal.GetType().GetField('Columns', $flags).SetValue($terminal, $Columns)
        $console.GetField('s_windowWidth', $flags).SetValue($null, -1)
    }
    catch { return }
}

# Of no runspace, so that it runs in whichever calls it.
$describe = {
    [System.Diagnostics.DebuggerHidden()]
    param([hashtable] $State, [string] $Mark, [System.Management.Automation.ErrorRecord] $Record)
    $message = $Record.Exception.Message
    if ("$($Record.FullyQualifiedErrorId)".StartsWith('NativeCommandError')) { return $message }  # a program's stderr
    $message = $message.Replace('PowerShell is in NonInteractive mode', 'Nobody is there to answer: PowerShell is in NonInteractive mode')
    $State['HasFailed'] = $true
    if ($Record.ScriptStackTrace) { $message += "`n" + $Record.ScriptStackTrace }
    "[$Mark] $message".Replace($State['CommandFile'], '<command>')
}.Ast.GetScriptBlock()

# Shows the output. It is no command of the session, whose Out-Default is PowerShell's, or the job's own; but it bears this
# name, because PowerShell leaves its descriptors to a program only before a command that is called so.
$output = & "$PSScriptRoot/out_default.ps1"
$outDefault = [System.Management.Automation.CmdletInfo]::new('Out-Default', $output)
$output::Show = [Func[hashtable, psobject, psobject]] {
    [System.Diagnostics.DebuggerHidden()]
    param([hashtable] $State, [psobject] $Shown)
    if ($Shown -is [System.Management.Automation.ErrorRecord]) { & $State['Describe'] $State 'ERROR' $Shown }
    elseif ($null -ne $Shown) { $Shown.ToString() }
}.Ast.GetScriptBlock()

$initial = [initialsessionstate]::CreateDefault2()
# What most scripts use is there at once. To import the two modules would take more than all the rest of opening.
$common = 'Microsoft.PowerShell.Utility', 'Microsoft.PowerShell.Management'
foreach ($entry in [initialsessionstate]::CreateDefault().Commands) {
    if ($entry.PSSnapIn.Name -in $common -and $entry.CommandType -eq 'Cmdlet') { $initial.Commands.Add($entry) }
}

# Whether PowerShell has mounted a drive by itself, and so looks in the list of all mounts, at each use of a path, whether
# it is still there: up to seven times for a short job, a third of a millisecond. The root folder does not go away.
$isMounted = [System.Management.Automation.PSDriveInfo].GetProperty('IsAutoMounted', [Reflection.BindingFlags]'NonPublic, Public, Instance')

function Open-Session {
    $runspace = [runspacefactory]::CreateRunspace($Host, $initial)
    $runspace.ThreadOptions = 'ReuseThread'
    $runspace.Open()
    $root = $runspace.SessionStateProxy.Drive.Current
    if ($null -ne $isMounted -and $isMounted.CanWrite -and $root.Name -ceq '/') { $isMounted.SetValue($root, $false) }
    $runspace
}

function Initialize-Session($Runspace) {
    # Has PowerShell compile, for this runspace, what it shows files with: a first table of them takes 10 ms without.
    # Of a folder and of a file, as each has properties of its own: 3 of these ms are the first folder's.
    $shell = [powershell]::Create($Runspace).AddCommand('Get-Item').AddParameter('LiteralPath', @($PSScriptRoot, $PSCommandPath))
    $null = $shell.AddCommand('Out-String').Invoke()
    $shell.Dispose()
}

function ConvertFrom-Element([System.Text.Json.JsonElement] $Element) {
    # Not ConvertFrom-Json, which makes dates of texts that look like some.
    switch ($Element.ValueKind) {
        'String' { return $Element.GetString() }
        'True' { return $true }
        'False' { return $false }
        'Null' { return $null }
        'Number' {
            $whole = 0L
            if (-not $Element.TryGetInt64([ref] $whole)) { return $Element.GetDouble() }
            if ($whole -le [int]::MaxValue -and $whole -ge [int]::MinValue) { return [int] $whole }
            return $whole
        }
        'Array' { return , @(foreach ($item in $Element.EnumerateArray()) { ConvertFrom-Element $item }) }
    }
    $table = [ordered]@{}
    foreach ($property in $Element.EnumerateObject()) { $table[$property.Name] = ConvertFrom-Element $property.Value }
    $table
}

$idleMilliseconds = 0  # Without another job for so long there is time for what makes the next one faster.
$shortMilliseconds = 50  # Most jobs are over by then, and nobody has asked to stop them.
$jsonOptions = [System.Text.Json.JsonSerializerOptions]::new()

function ConvertFrom-Request([string] $Line) {
    # Rows of texts, which .NET reads in a hundredth of the time that PowerShell takes for objects.
    $rows = [System.Text.Json.JsonSerializer]::Deserialize($Line, [string[][]], $jsonOptions)
    @{
        ProjectRoot = $rows[0][0]; IsText = $rows[0][1] -ceq 'text'; Environment = $rows[1]; Submission = $rows[2]
        Roles = $rows[3]; Parameters = $rows[4]; Running = $rows[5]
    }
}

function Send-Message([string] $Text) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text + "`n")
    $stream.Write($bytes, 0, $bytes.Length)
}

function Set-Variables($Runspace, [hashtable] $Request) {
    $variables = $Runspace.SessionStateProxy
    $submission = $null
    if ($Request.Submission) {
        $id, $user, $session, $name, $command, $description, $mode, $submitted = $Request.Submission
        $submission = [pscustomobject]@{
            JobID = $id; UserID = $user; SessionID = $session; JobName = $name; Command = $command
            Description = $description; ExecutionMode = $mode; Roles = [object[]] $Request.Roles
            SubmittedAt = [datetime]::Parse($submitted, $invariant, $roundTrip)
        }
    }
    $running = [hashtable]::Synchronized(@{})
    for ($at = 0; $at -lt $Request.Running.Length; $at += 4) {
        $id, $user, $name, $started = $Request.Running[$at .. ($at + 3)]
        $running[$id] = [hashtable]::Synchronized(@{ JobID = $id; UserID = $user; JobName = $name; StartedAt = $started })
    }
    $server = @{ Project_Root = @{ Path = $Request.ProjectRoot }; Runspaces = $running }
    $parameters = @{}
    if ($Request.Parameters) {
        $parameters = [hashtable] (ConvertFrom-Element ([System.Text.Json.JsonDocument]::Parse($Request.Parameters[0]).RootElement))
    }
    $variables.SetVariable('JobSubmission', $submission)
    $variables.SetVariable('PSWebServer', [hashtable]::Synchronized($server))
    $variables.SetVariable('Parameters', $parameters)
}

function Set-Folder($Variables, [string] $Folder) {
    # What Set-Location does in the end. To have PowerShell find the folder first takes longer than a short job.
    [Environment]::CurrentDirectory = $Folder
    $Variables.Drive.Current.CurrentLocation = $Folder.Substring(1)  # below its root, /
    $Variables.SetVariable('PWD', $Variables.get_Path().CurrentLocation)
}

# Properties whose names PowerShell's own types have too (Path, Count, Error, Progress) are asked for by their methods:
# each new runspace has PowerShell forget where such a property is, and it takes a millisecond to find out again.

function Show-Progress($Shell) {
    # What Write-Progress told since the last look: the last of the outermost bar, as terminals know it (OSC 9;4).
    $told = $Shell.Streams.get_Progress()
    if (-not $told.get_Count()) { return }
    $record = $told.ReadAll() | Where-Object ParentActivityId -LT 0 | Select-Object -Last 1
    if ($null -eq $record) { return }
    $parts = $record.Activity, $record.StatusDescription, $record.CurrentOperation | Where-Object { "$_".Trim() }
    $text = $parts -join ': '
    $text = [Uri]::EscapeDataString($text.Substring(0, [Math]::Min($text.Length, 200)))
    $shown = if ($record.RecordType -eq 'Completed') { '0;0' }
    elseif ($record.PercentComplete -lt 0) { "3;0;$text" }
    else { "1;$([Math]::Min(100, $record.PercentComplete));$text" }
    $standard[0].Write("`e]9;4;$shown`a")
    $standard[0].Flush()
}

function Wait-Pipeline($Shell, $Running) {
    # Until it has ended; told to stop meanwhile, it is stopped.
    while (-not $Running.IsCompleted) {
        if ($null -eq $script:coming) { $script:coming = $peer.ReadAsync($received, 0, $received.Length) }
        $handles = @($Running.AsyncWaitHandle, ([IAsyncResult] $script:coming).AsyncWaitHandle)
        if ($messages.get_Count() -eq 0) { $null = [Threading.WaitHandle]::WaitAny($handles, 200) }
        Show-Progress $Shell
        if (Test-Message) {
            if ($null -eq (Read-Message)) { $null = $native::kill(0, 9) }  # nobody is there to have the answer
            $null = $Shell.BeginStop($null, $null)
            # PowerShell leaves it to a console to end the programs that it waits for, and there is none.
            if (-not $Running.AsyncWaitHandle.WaitOne(100)) { Send-Message '{"stopping": true}' }
        }
    }
}

function Test-Message([int] $Milliseconds = 0) {
    # Whether a message is there, or comes within that time; also true when there will be none.
    if ($messages.get_Count()) { return $true }
    if ($null -ne $script:coming) { return $script:coming.Wait($Milliseconds) }
    $native::poll($polled, [UIntPtr]::new([uint32] 1), $Milliseconds) -gt 0
}

function Read-Message {
    # The message that has come, or comes next; $null when there will be none.
    # Read by bare calls: to be told by .NET that something has come takes three threads, and a third of a millisecond.
    while (-not $messages.get_Count()) {
        $count = 0
        if ($null -ne $script:coming) {
            $count = $script:coming.GetAwaiter().GetResult()
            $script:coming = $null
        }
        else {
            while ($native::poll($polled, [UIntPtr]::new([uint32] 1), -1) -lt 1) { }
            $count = $native::read($Control, $received, [UIntPtr]::new([uint32] $received.Length))
        }
        if ($count -lt 1) { return }
        if ($partial.get_Length() -eq 0 -and [Array]::IndexOf($received, $lineFeed, 0, $count) -eq $count - 1) {
            return $utf8.GetString($received, 0, $count)  # one whole message, as nearly always
        }
        $partial.Write($received, 0, $count)
        if ($received[$count - 1] -ne 10) { continue }  # each ends with a line feed, and has no other
        foreach ($line in [Text.Encoding]::UTF8.GetString($partial.GetBuffer(), 0, $partial.get_Length()).Split("`n")) {
            if ($line) { $messages.Enqueue($line) }
        }
        $partial.SetLength(0)
    }
    $messages.Dequeue()
}

function Get-ExitCode($Runspace, $State) {
    $code = $Runspace.SessionStateProxy.GetVariable('LASTEXITCODE') -as [int]
    if ($code) { return [Math]::Max($code -band 255, [int] ($code % 256 -eq 0)) }
    [int] $State['HasFailed']
}

function Show-Ending($Shell, $State) {
    $reason = $Shell.InvocationStateInfo.Reason
    if ($null -eq $reason) { $records = $Shell.Streams.get_Error().ReadAll() }
    elseif ($reason -is [System.Management.Automation.PipelineStoppedException]) { $State['HasFailed'] = $true; return }
    elseif ($reason -is [System.Management.Automation.IContainsErrorRecord]) { $records = $reason.ErrorRecord }
    else { $records = [System.Management.Automation.ErrorRecord]::new($reason, 'Ended', 'NotSpecified', $null) }
    foreach ($record in $records) { [Console]::Out.WriteLine((& $describe $State 'EXCEPTION' $record)) }
}

function Initialize-Job($Runspace, [string] $Line) {
    # Does for a job all that can be done before it may run. The environment is that of the process, and so of what
    # the job starts.
    $request = ConvertFrom-Request $Line
    $before = [Environment]::GetEnvironmentVariables()
    $names = @(
        for ($at = 0; $at -lt $request.Environment.Length; $at += 2) {
            [Environment]::SetEnvironmentVariable($request.Environment[$at], $request.Environment[$at + 1])
            $request.Environment[$at]
        }
    )
    Set-Variables $Runspace $request
    $state = @{ Describe = $describe; CommandFile = ''; IsText = $request.IsText; HasFailed = $false }
    @{ Before = $before; Names = $names; State = $state; Shell = [powershell]::Create($Runspace) }
}

function Clear-Job($Job) {
    # It was prepared, and is not to run.
    if ($null -eq $Job) { return }
    $Job['Shell'].Dispose()
    [Environment]::CurrentDirectory = '/'
    Restore-Environment $Job['Before'] $Job['Names']
}

function Set-Place($Runspace, [hashtable] $Job, [string] $CommandFile, [string] $Folder) {
    # Where a job that was prepared runs.
    $shell, $state = $Job['Shell'], $Job['State']
    if ($Folder) { Set-Folder $Runspace.SessionStateProxy $Folder }
    $state['CommandFile'] = $CommandFile
    $null = $shell.AddCommand($CommandFile, $false).AddCommand($outDefault)
    $shell.Commands.Commands[0].MergeMyResults('Error', 'Output')
}

function Invoke-Job($Runspace, $Job) {
    $shell, $state = $Job['Shell'], $Job['State']
    try {
        if ($Lasting) { $Runspace.SessionStateProxy.SetVariable('global:LASTEXITCODE', 0) }
        $output::State, $output::IsText = $state, $state['IsText']
        $running = $shell.BeginInvoke()
        # Most jobs have nothing of what is asked for here, and each function takes 0.02 ms, if only to see that.
        if (-not $running.AsyncWaitHandle.WaitOne($shortMilliseconds)) { Wait-Pipeline $shell $running }
        if ($shell.Streams.get_Progress().get_Count()) { Show-Progress $shell }
        Restore-Console
        if ($shell.Streams.get_Error().get_Count() -or $null -ne $shell.InvocationStateInfo.Reason) { Show-Ending $shell $state }
        Get-ExitCode $Runspace $state
    }
    finally { $shell.Dispose() }
}

function Get-State {
    # What all runspaces of a process have in common, and a job can change.
    foreach ($part in $PSStyle, $PSStyle.Formatting, $PSStyle.Progress, $PSStyle.FileInfo) {
        foreach ($property in $part.GetType().GetProperties()) {
            if ($property.CanWrite) { , ($property, $part, $property.GetValue($part)) }
        }
    }
    foreach ($name in 'DefaultThreadCurrentCulture', 'DefaultThreadCurrentUICulture') {
        $property = [cultureinfo].GetProperty($name)
        , ($property, $null, $property.GetValue($null))
    }
}

function Restore-Console {
    [Console]::Out.Flush()
    if ([Console]::OutputEncoding.WebName -ne 'utf-8') { [Console]::OutputEncoding = $OutputEncoding }
    [Console]::SetOut($standard[0])
    [Console]::SetError($standard[1])
}

function Restore-State {
    foreach ($item in $shared) {
        $property, $part, $value = $item
        if (-not [object]::Equals($property.GetValue($part), $value)) { $property.SetValue($part, $value) }
    }
}

function Restore-Environment([System.Collections.IDictionary] $Variables, $Names) {
    # $Names, or all there are.
    if ($null -eq $Names) { $Names = @($Variables.Keys) + [Environment]::GetEnvironmentVariables().Keys }
    foreach ($name in $Names) {
        $value = $Variables[$name]
        # $null would be passed as an empty text, which is a value since .NET 9.
        if ($null -eq $value) { [Environment]::SetEnvironmentVariable($name, [NullString]::Value) }
        elseif ([Environment]::GetEnvironmentVariable($name) -cne $value) { [Environment]::SetEnvironmentVariable($name, $value) }
    }
}

function Test-Running($Runspace) {
    # Whether a job has left jobs or events in its runspace; true where that cannot be told.
    if (@($Runspace.Events.Subscribers).Count -gt $subscribers -or $null -eq $jobRepository) { return $true }
    @($jobRepository.GetValue($Runspace).Jobs).Count -gt 0
}

function Test-OwnTypes($Count) {
    # Whether a job, after which the process has so many assemblies, brought types of its own into it, which another
    # job would find there.
    $script:assemblies = $Count
    foreach ($assembly in [AppDomain]::CurrentDomain.GetAssemblies()) {
        if (-not $assembly.IsDynamic -and -not $assembly.Location) { return $true }
    }
    $false
}

function Invoke-Request($Runspace, [hashtable] $Job, [string] $Line) {
    # Runs a job that was prepared, and answers.
    $token, $commandFile, $folder = [System.Text.Json.JsonSerializer]::Deserialize($Line, [string[]], $jsonOptions)
    if ($Job['Place']) { $commandFile, $folder = $Job['Place'] }
    if ($commandFile) { Set-Place $Runspace $Job $commandFile $folder }  # or it was said before
    $code = Invoke-Job $Runspace $Job
    $names = $Job['Names']
    if ($Lasting) {
        foreach ($name in 'JobSubmission', 'Parameters') { $Runspace.SessionStateProxy.PSVariable.Remove($name) }
        $jobs = [powershell]::Create($Runspace).AddCommand('Microsoft.PowerShell.Core\Get-Job')
        $null = $jobs.AddCommand('Microsoft.PowerShell.Core\Remove-Job').AddParameter('Force').Invoke()
        $jobs.Dispose()
    }
    elseif (Test-Running $Runspace) { $Runspace.Dispose() }  # with what runs in it
    $isReusable = 'true'
    if (-not $Lasting) {
        # Whether it has left processes: only Linux tells. P_ALL; WEXITED, WNOHANG, WNOWAIT, __WALL
        if ($IsLinux -and $native::waitid(0, 0, [IntPtr]::Zero, 0x41000005) -eq 0) { $isReusable = 'false' }
        $count = [AppDomain]::CurrentDomain.GetAssemblies().Length
        if ($count -ne $script:assemblies -and (Test-OwnTypes $count)) { $isReusable = 'false' }
    }
    Send-Message "{`"token`": `"$token`", `"exit_code`": $code, `"reusable`": $isReusable}"
    # The next request is read only when all this is done. But whoever waits for the result comes first: to tidy up,
    # and to open the next runspace, takes both processors for longer than a short job.
    if (-not $Lasting) {
        $null = Test-Message $idleMilliseconds
        $Runspace.Dispose()
        [Environment]::CurrentDirectory = '/'
        $names = $null
        Restore-State
    }
    Restore-Environment $Job['Before'] $names
}

$closeOnExec = if ($IsMacOS) { 0x20006601 } else { 0x5451 }
$null = $native::ioctl($Control, [UIntPtr]::new($closeOnExec))
$socket = [Net.Sockets.Socket]::new([Net.Sockets.SafeSocketHandle]::new([IntPtr] $Control, $true))
$peer = [Net.Sockets.NetworkStream]::new($socket)
$standard = [Console]::Out, [Console]::Error
$messages = [Collections.Generic.Queue[string]]::new()  # that have been received, and not read
$received, $partial = [byte[]]::new(65536), [IO.MemoryStream]::new()
$utf8, $lineFeed = [Text.UTF8Encoding]::new($false), [byte] 10
$polled = [int[]] ($Control, 1)  # a struct pollfd with POLLIN
$script:coming = $null  # what .NET tells of when it has come, or $null when nobody has asked it

Set-ConsoleWidth $Width
$PSStyle.OutputRendering = 'PlainText'
$shared = @(Get-State)
$wasLasting, $Lasting = [bool] $Lasting, $false
$stream = [IO.Stream]::Null
$invariant, $roundTrip = [cultureinfo]::InvariantCulture, [System.Globalization.DateTimeStyles]::RoundtripKind
# Not made by ConvertTo-Json: to load that takes more of a processor than one of these rounds.
$example = '[["/",""],["AIOHTTP_JOBS_JOB_ID",""],["","","","","","","","2026-01-01T00:00:00Z"],[""],["{\"a\": 1, \"b\": \"\"}"],["","","",""]]'
$go = '["",null,null]'
foreach ($round in 1..2) {
    # Once the code of all this is compiled, the first job is as fast as later ones.
    $session = Open-Session
    $jobRepository = $session.GetType().GetProperty('JobRepository', [Reflection.BindingFlags]'NonPublic, Public, Instance')
    $subscribers = @($session.Events.Subscribers).Count
    $job = Initialize-Job $session $example
    Set-Place $session $job "$PSScriptRoot/warm_up.ps1" '/'
    Invoke-Request $session $job $go
}
$Lasting, $stream, $idleMilliseconds = $wasLasting, $peer, 10
$session = Open-Session
Initialize-Session $session
$script:assemblies = [AppDomain]::CurrentDomain.GetAssemblies().Length
Send-Message "{`"version`": `"$($PSVersionTable.PSVersion)`"}"

# A job comes in two messages: what it is, as rows of texts, and once it may run where it does, which is also said
# before, for what can be done ahead. Until then anything else takes it back; to stop one that has just ended is
# passed over.
$job, $ordinal = $null, [StringComparison]::Ordinal
while ($null -ne ($line = Read-Message)) {
    if ($line.StartsWith('[n', $ordinal)) {
        if ($null -eq $job) { continue }
        $null, $commandFile, $folder = [System.Text.Json.JsonSerializer]::Deserialize($line, [string[]], $jsonOptions)
        try { Set-Place $session $job $commandFile $folder }
        catch { $job['Place'] = $commandFile, $folder }  # the folder of a job that was not claimed is gone, or will be told
        continue
    }
    if (-not $line.StartsWith('["', $ordinal)) {
        Clear-Job $job
        $job = if ($line.StartsWith('[', $ordinal)) { Initialize-Job $session $line }
        continue
    }
    if ($null -eq $job) { continue }
    Invoke-Request $session $job $line
    $line = $job = $null
    if ($Lasting) { continue }
    $session = Open-Session
    if (-not (Test-Message $idleMilliseconds)) { Initialize-Session $session }
}
