from vggcalc.cli import main

main()
