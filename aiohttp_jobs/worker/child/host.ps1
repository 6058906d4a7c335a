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
foreach ($name in 'DOTNET_GCgen0size', 'POWERSHELL_TELEMETRY_OPTOUT', 'POWERSHELL_UPDATECHECK') {
    [Environment]::SetEnvironmentVariable($name, [NullString]::Value)  # meant for this process, and not for what a job starts
}
$OutputEncoding = [Console]::OutputEncoding = [Text.UTF8Encoding]::new($false)

function New-NativeMethods {
    # What .NET has no public call for, without the compiler that Add-Type would load.
    $module = [Reflection.Emit.AssemblyBuilder]::DefineDynamicAssembly('AiohttpJobs', 'Run').DefineDynamicModule('Native')
    $type = $module.DefineType('Native', 'Public')
    foreach ($call in ('ioctl', ([int], [UIntPtr])), ('kill', ([int], [int])), ('write', ([int], [byte[]], [UIntPtr]))) {
        $name, $types = $call
        $method = $type.DefinePInvokeMethod(
            $name, 'libc', 'Public, Static, PinvokeImpl', 'Standard', [int], [type[]]$types, 'Winapi', 'Ansi')
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

# The last command of a job's pipeline. It bears this name because PowerShell leaves its descriptors to a program
# only before a command that is called so; it takes itself away as it begins.
$outDefault = @'
    [CmdletBinding()]
    [System.Diagnostics.DebuggerHidden()]
    param([Parameter(ValueFromPipeline)] [AllowNull()] [psobject] $InputObject, [hashtable] $State)
    begin {
        $ExecutionContext.InvokeProvider.Item.Remove('function:Out-Default', $false)
        if ($null -ne $State['Own']) { $null = $ExecutionContext.InvokeProvider.Item.Set('function:global:Out-Default', $State['Own']) }
        $console = { Microsoft.PowerShell.Core\Out-Default }.GetSteppablePipeline('Internal')
        $console.Begin($PSCmdlet)
    }
    process {
        if ($InputObject -is [System.Management.Automation.ErrorRecord]) {
            $console.Process((& $State['Describe'] $State 'ERROR' $InputObject))
        }
        elseif (-not $State['IsText']) { $console.Process($InputObject) }
        elseif ($null -ne $InputObject) { $console.Process($InputObject.ToString()) }
    }
    end {
        $console.End()
        $console = $null
    }
'@
# What waits in there for the width of a table is shown too when an error or `exit` ends the pipeline.
if ($PSVersionTable.PSVersion -ge '7.3') { $outDefault += "`n    clean { if (`$null -ne `$console) { `$console.End() } }" }

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

$initial = [initialsessionstate]::CreateDefault2()
$initial.Commands.Add([System.Management.Automation.Runspaces.SessionStateFunctionEntry]::new('Out-Default', $outDefault))
$initial.ImportPSModule([string[]]('Microsoft.PowerShell.Utility', 'Microsoft.PowerShell.Management'))

function Open-Session {
    $runspace = [runspacefactory]::CreateRunspace($Host, $initial)
    $runspace.ThreadOptions = 'ReuseThread'
    $runspace.Open()
    $runspace
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

function Send-Message([string] $Text) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text + "`n")
    $stream.Write($bytes, 0, $bytes.Length)
}

function Set-Variables($Runspace, $Request) {
    $variables = $Runspace.SessionStateProxy
    $submission = $Request['submission']
    if ($submission) {
        $submission = [pscustomobject] $submission
        $submission.SubmittedAt = [datetime]::Parse($submission.SubmittedAt, [cultureinfo]::InvariantCulture, 'RoundtripKind')
    }
    $running = [hashtable]::Synchronized(@{})
    foreach ($job in $Request['running']) { $running[$job['JobID']] = [hashtable]::Synchronized($job) }
    $server = @{ Project_Root = @{ Path = $Request['project_root'] }; Runspaces = $running }
    $variables.SetVariable('JobSubmission', $submission)
    $variables.SetVariable('PSWebServer', [hashtable]::Synchronized($server))
    $variables.SetVariable('Parameters', [hashtable] $Request['parameters'])
    if ($Request['folder']) { $null = $variables.Path.SetLocation([WildcardPattern]::Escape($Request['folder'])) }
}

function Reset-OutDefault($Runspace, $State) {
    # In a session that lasts, the job before may have made one of its own.
    $items = $Runspace.SessionStateProxy.InvokeProvider.Item
    $own = @($items.Get([string[]]'function:Out-Default', $true, $true))
    if ($own) { $State['Own'] = $own[0].ScriptBlock }
    if ($items.Exists('alias:Out-Default')) { $items.Remove('alias:Out-Default', $false) }
    $null = $items.Set([string[]]'function:global:Out-Default', [scriptblock]::Create($outDefault), $true, $true)
}

function Show-Progress($Shell) {
    # What Write-Progress told since the last look: the last of the outermost bar, as terminals know it (OSC 9;4).
    if (-not $Shell.Streams.Progress.Count) { return }
    $record = $Shell.Streams.Progress.ReadAll() | Where-Object ParentActivityId -LT 0 | Select-Object -Last 1
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
        $handles = @($Running.AsyncWaitHandle, ([IAsyncResult] $script:next).AsyncWaitHandle)
        $null = [Threading.WaitHandle]::WaitAny($handles, 200)
        Show-Progress $Shell
        if ($script:next.IsCompleted) {
            if ($null -eq (Read-Message)) { $null = $native::kill(0, 9) }  # nobody is there to have the answer
            $null = $Shell.BeginStop($null, $null)
            # PowerShell leaves it to a console to end the programs that it waits for, and there is none.
            if (-not $Running.AsyncWaitHandle.WaitOne(100)) { Send-Message '{"stopping": true}' }
        }
    }
}

function Read-Message {
    # The message that has come, or comes next; $null when there will be none. The next one is waited for.
    $line = $script:next.GetAwaiter().GetResult()
    if ($null -ne $line) { $script:next = $reader.ReadLineAsync() }
    $line
}

function Get-ExitCode($Runspace, $State) {
    $code = $Runspace.SessionStateProxy.GetVariable('LASTEXITCODE') -as [int]
    if ($code) { return [Math]::Max($code -band 255, [int] ($code % 256 -eq 0)) }
    [int] $State['HasFailed']
}

function Show-Ending($Shell, $State) {
    $reason = $Shell.InvocationStateInfo.Reason
    $records = @(
        if ($reason -is [System.Management.Automation.PipelineStoppedException]) { $State['HasFailed'] = $true }
        elseif ($reason -is [System.Management.Automation.IContainsErrorRecord]) { $reason.ErrorRecord }
        elseif ($reason) { [System.Management.Automation.ErrorRecord]::new($reason, 'Ended', 'NotSpecified', $null) }
        else { $Shell.Streams.Error }
    )
    foreach ($record in $records) { [Console]::Out.WriteLine((& $describe $State 'EXCEPTION' $record)) }
}

function Invoke-Job($Runspace, $CommandFile, $IsText) {
    $state = @{ Describe = $describe; CommandFile = $CommandFile; IsText = $IsText; HasFailed = $false }
    if ($Lasting) {
        Reset-OutDefault $Runspace $state
        $Runspace.SessionStateProxy.SetVariable('global:LASTEXITCODE', 0)
    }
    $shell = [powershell]::Create($Runspace)
    try {
        $null = $shell.AddCommand($CommandFile, $false).AddCommand('Out-Default').AddParameter('State', $state)
        $shell.Commands.Commands[0].MergeMyResults('Error', 'Output')
        Wait-Pipeline $shell $shell.BeginInvoke()
        Show-Progress $shell
        Restore-Console
        Show-Ending $shell $state
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
    foreach ($item in $common) {
        $property, $part, $value = $item
        if (-not [object]::Equals($property.GetValue($part), $value)) { $property.SetValue($part, $value) }
    }
}

function Restore-Environment([System.Collections.IDictionary] $Variables, $Names) {
    foreach ($name in @($Names)) {
        # $null would be passed as an empty text, which is a value since .NET 9.
        $value = if ($null -eq $Variables[$name]) { [NullString]::Value } else { $Variables[$name] }
        [Environment]::SetEnvironmentVariable($name, $value)
    }
}

function Test-Running($Runspace) {
    # Whether a job has left jobs or events in its runspace; true where that cannot be told.
    if (@($Runspace.Events.Subscribers).Count -gt $subscribers -or $null -eq $jobRepository) { return $true }
    @($jobRepository.GetValue($Runspace).Jobs).Count -gt 0
}

function Test-OwnTypes {
    # Whether a job brought types of its own into the process, which another job would find there.
    $count = [AppDomain]::CurrentDomain.GetAssemblies().Length
    if ($count -eq $script:assemblies) { return $false }
    $script:assemblies = $count
    foreach ($assembly in [AppDomain]::CurrentDomain.GetAssemblies()) {
        if (-not $assembly.IsDynamic -and -not $assembly.Location) { return $true }
    }
    $false
}

function Invoke-Request($Runspace, $Request) {
    # Runs a job and answers. The environment is that of the process, and so of what the job starts.
    $before = [Environment]::GetEnvironmentVariables()
    foreach ($name in $Request['environment'].Keys) { [Environment]::SetEnvironmentVariable($name, $Request['environment'][$name]) }
    $names = @($Request['environment'].Keys)
    if ($Request['folder']) { [Environment]::CurrentDirectory = $Request['folder'] }
    Set-Variables $Runspace $Request
    $code = Invoke-Job $Runspace $Request['command_file'] $Request['is_text']
    if ($Lasting) {
        foreach ($name in 'JobSubmission', 'Parameters') { $Runspace.SessionStateProxy.PSVariable.Remove($name) }
        $jobs = [powershell]::Create($Runspace).AddCommand('Microsoft.PowerShell.Core\Get-Job')
        $null = $jobs.AddCommand('Microsoft.PowerShell.Core\Remove-Job').AddParameter('Force').Invoke()
        $jobs.Dispose()
    }
    elseif (Test-Running $Runspace) { $Runspace.Dispose() }  # with what runs in it
    $isReusable = "$($Lasting -or -not (Test-OwnTypes))".ToLowerInvariant()
    Send-Message "{`"token`": `"$($Request['token'])`", `"exit_code`": $code, `"reusable`": $isReusable, `"memory`": $([Environment]::WorkingSet)}"
    # The next request is read only when all this is done.
    if (-not $Lasting) {
        $Runspace.Dispose()
        [Environment]::CurrentDirectory = '/'
        $names = @($names; [Environment]::GetEnvironmentVariables().Keys; $before.Keys) | Select-Object -Unique
        Restore-State
    }
    Restore-Environment $before $names
}

$closeOnExec = if ($IsMacOS) { 0x20006601 } else { 0x5451 }
$null = $native::ioctl($Control, [UIntPtr]::new($closeOnExec))
$socket = [Net.Sockets.Socket]::new([Net.Sockets.SafeSocketHandle]::new([IntPtr] $Control, $true))
$stream = [Net.Sockets.NetworkStream]::new($socket)
$reader = [IO.StreamReader]::new($stream)
$standard = [Console]::Out, [Console]::Error
$script:next = $reader.ReadLineAsync()

Set-ConsoleWidth $Width
$PSStyle.OutputRendering = 'PlainText'
$common = @(Get-State)
$wasLasting, $Lasting = [bool] $Lasting, $false
$peer, $stream = $stream, [IO.Stream]::Null
$example = @'
{"token": "", "command_file": "", "folder": "/", "environment": {"AIOHTTP_JOBS_JOB_ID": ""}, "parameters": {"a": 1, "b": ""},
"submission": {"Roles": [""], "SubmittedAt": "2026-01-01T00:00:00Z"}, "running": [{"JobID": ""}], "project_root": "/", "is_text": false}
'@
foreach ($round in 1..2) {
    # Once the code of all this is compiled, the first job is as fast as later ones.
    $session = Open-Session
    $jobRepository = $session.GetType().GetProperty('JobRepository', [Reflection.BindingFlags]'NonPublic, Public, Instance')
    $subscribers = @($session.Events.Subscribers).Count
    $request = ConvertFrom-Element ([System.Text.Json.JsonDocument]::Parse($example).RootElement)
    $request['command_file'] = "$PSScriptRoot/warm_up.ps1"
    Invoke-Request $session $request
}
$Lasting, $stream = $wasLasting, $peer
$session = Open-Session
$script:assemblies = [AppDomain]::CurrentDomain.GetAssemblies().Length
Send-Message "{`"version`": `"$($PSVersionTable.PSVersion)`"}"

while ($null -ne ($line = Read-Message)) {
    Invoke-Request $session (ConvertFrom-Element ([System.Text.Json.JsonDocument]::Parse($line).RootElement))
    $line = $null
    if (-not $Lasting) { $session = Open-Session }
}
