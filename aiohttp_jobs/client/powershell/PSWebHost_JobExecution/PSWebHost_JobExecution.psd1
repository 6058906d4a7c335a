@{
    RootModule           = 'PSWebHost_JobExecution.psm1'
    ModuleVersion        = '0.1.0'
    GUID                 = '8a1d3c0e-6f1b-4d52-9c3e-5b7f0f6a2d41'
    Author               = 'The aiohttp-jobs authors'
    CompanyName          = 'aiohttp-jobs'
    Copyright            = 'MIT License'
    Description          = 'Submits commands as jobs to a host with aiohttp-jobs, runs its functions, and reads and removes results.'
    PowerShellVersion    = '5.1'
    CompatiblePSEditions = @('Desktop', 'Core')
    FormatsToProcess     = @('PSWebHost_JobExecution.format.ps1xml')
    FunctionsToExport    = @(
        'Connect-PSWebHost'
        'Submit-PSWebHostJob'
        'Get-PSWebHostJobResults'
        'Remove-PSWebHostJobResults'
        'Process-PSWebHostJobSubmissions'
        'Get-PSWebHostJobFunction'
        'Invoke-PSWebHostJobFunction'
    )
    CmdletsToExport      = @()
    VariablesToExport    = @()
    AliasesToExport      = @()
    PrivateData          = @{ PSData = @{ Tags = @('aiohttp', 'jobs', 'PSWebHost') } }
}
