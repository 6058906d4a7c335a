# Makes the last command of a job's pipeline, and returns its type: PowerShell's own Out-Default, which has `Show`, a
# delegate of a script block, look first at each error, or at each object where `IsText`. What that makes of one is shown,
# and nothing where it is $null. What it makes is left to who gives the script block.
# A function with a `process` block would do, and take longer for a table of ten rows than PowerShell for its columns.
$own, $object, $flags = [Microsoft.PowerShell.Commands.OutDefaultCommand], [psobject], [Reflection.BindingFlags]'NonPublic, Public, Instance'
$show, $opCodes = [Func[hashtable, psobject, psobject]], [Reflection.Emit.OpCodes]
$module = [Reflection.Emit.AssemblyBuilder]::DefineDynamicAssembly('AiohttpJobsOutput', 'Run').DefineDynamicModule('Output')
$type = $module.DefineType('OutDefault', 'Public', $own)
$attribute = [System.Management.Automation.CmdletAttribute].GetConstructor(@([string], [string]))
$type.SetCustomAttribute([Reflection.Emit.CustomAttributeBuilder]::new($attribute, @('Out', 'Default')))
$showField = $type.DefineField('Show', $show, 'Public, Static')
$stateField = $type.DefineField('State', [hashtable], 'Public, Static')
$isText = $type.DefineField('IsText', [bool], 'Public, Static')
$isOpen = $type.DefineField('isOpen', [bool], 'Private')

function New-Override([string] $Name) {
    $type.DefineMethod($Name, 'Family, Virtual, HideBySig', [void], [type]::EmptyTypes).GetILGenerator()
}

function Add-Code([Reflection.Emit.ILGenerator] $Code, [object[]] $Instructions) {
    # Each a name, with what it is about after it if anything.
    foreach ($instruction in $Instructions) {
        $name, $what = $instruction
        $opCode = $opCodes.GetField($name).GetValue($null)  # PowerShell compiles code for each property that it is asked for
        if ($null -eq $what) { $Code.Emit($opCode) } else { $Code.Emit($opCode, $what) }
    }
}

$code = New-Override 'ProcessRecord'
$null = $code.DeclareLocal($object)
$look, $pass, $end = $code.DefineLabel(), $code.DefineLabel(), $code.DefineLabel()
Add-Code $code 'Ldarg_0', ('Call', $own.GetMethod('get_InputObject')), 'Stloc_0', ('Ldsfld', $isText), ('Brtrue', $look)
Add-Code $code 'Ldloc_0', ('Brfalse', $pass), 'Ldloc_0', ('Callvirt', $object.GetMethod('get_BaseObject'))
Add-Code $code ('Isinst', [System.Management.Automation.ErrorRecord]), ('Brfalse', $pass)
$code.MarkLabel($look)
Add-Code $code ('Ldsfld', $showField), ('Ldsfld', $stateField), 'Ldloc_0', ('Callvirt', $show.GetMethod('Invoke')), 'Stloc_0'
Add-Code $code 'Ldloc_0', ('Brfalse', $end), 'Ldarg_0', 'Ldloc_0', ('Call', $own.GetMethod('set_InputObject'))
$code.MarkLabel($pass)
Add-Code $code 'Ldarg_0', 'Ldc_I4_1', ('Stfld', $isOpen), 'Ldarg_0', ('Call', $own.GetMethod('ProcessRecord', $flags, [type]::EmptyTypes))
$code.MarkLabel($end)
Add-Code $code 'Ret'

$code = New-Override 'EndProcessing'
Add-Code $code 'Ldarg_0', 'Ldc_I4_0', ('Stfld', $isOpen), 'Ldarg_0', ('Call', $own.GetMethod('EndProcessing', $flags, [type]::EmptyTypes)), 'Ret'

# What waits in there for the width of a table is shown too when an error or `exit` ends the pipeline.
$code = New-Override 'InternalDispose'
$close = $code.DefineLabel()
Add-Code $code 'Ldarg_0', ('Ldfld', $isOpen), ('Brfalse', $close)
$null = $code.BeginExceptionBlock()
Add-Code $code 'Ldarg_0', ('Callvirt', $own.GetMethod('EndProcessing', $flags, [type]::EmptyTypes))
$code.BeginCatchBlock([Exception])
Add-Code $code 'Pop'
$code.EndExceptionBlock()
$code.MarkLabel($close)
Add-Code $code 'Ldarg_0', ('Call', $own.GetMethod('InternalDispose', $flags, [type]::EmptyTypes)), 'Ret'
$type.CreateType()
