# Runs the PowerShell command in the file named by the first argument, with its output and errors in one
# stream, errors marked as the specification's "Error Handling" has it. Exits with the command's own code.
param([Parameter(Mandatory = $true)][string]$CommandFile)

$ErrorActionPreference = 'Continue'
$ProgressPreference = 'SilentlyContinue'
$OutputEncoding = [Console]::OutputEncoding = [System.Text.UTF8Encoding]::new($false)
if ($PSStyle) { $PSStyle.OutputRendering = 'PlainText' }
$global:LASTEXITCODE = 0
$state = @{ Failed = $false; Wrapper = $PSCommandPath; Command = $CommandFile }

$describe = {
    param([string]$Mark, [System.Management.Automation.ErrorRecord]$Record)
    $trace = @("$($Record.ScriptStackTrace)" -split "`r?`n" | Where-Object { -not $_.Contains($state.Wrapper) })
    $lines = @($Record.Exception.Message) + @($trace | Where-Object { $_ })
    [Console]::Out.WriteLine("[$Mark] " + ($lines -join "`n").Replace($state.Command, '<command>'))
    $state.Failed = $true
}
$show = {
    if ($_ -isnot [System.Management.Automation.ErrorRecord]) {
        if ($null -ne $_) { [Console]::Out.WriteLine($_.ToString()) }
    }
    elseif ($_.FullyQualifiedErrorId -like 'NativeCommandError*') {
        # A line that a program wrote to stderr: no error of PowerShell's.
        [Console]::Out.WriteLine($_.Exception.Message)
    }
    else { & $describe 'ERROR' $_ }
}

# A pipeline of its own: within `try`, the first error that ends a statement would end the whole command,
# and `Invoke-Expression … 2>&1` drops what is written to the error stream.
$pipeline = [powershell]::Create('CurrentRunspace').AddCommand($CommandFile)
$pipeline.Commands.Commands[0].MergeMyResults('Error', 'Output')
$null = $pipeline.AddCommand('ForEach-Object').AddParameter('Process', $show)
try { $null = $pipeline.Invoke() }
catch {
    $record = $_
    $inner = $_.Exception.InnerException
    if ($inner -is [System.Management.Automation.IContainsErrorRecord]) { $record = $inner.ErrorRecord }
    & $describe 'EXCEPTION' $record
}
if ($global:LASTEXITCODE) { exit $global:LASTEXITCODE }
exit [int]$state.Failed
