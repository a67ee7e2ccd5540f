import sys

try:
    from vggcalc.cli.main import main
except KeyboardInterrupt:  # before there is a handler
    sys.exit(130)

main()
