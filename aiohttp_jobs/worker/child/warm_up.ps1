# What a host runs before it says that it is ready; nobody sees what this prints.
'text'
Get-ChildItem $PSHOME | Select-Object -First 2
Get-Item $PSCommandPath
[pscustomobject]@{ Name = 'Value' }
Write-Host 'text'
