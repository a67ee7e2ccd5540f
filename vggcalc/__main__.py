from vggcalc.cli.main import main

main()
