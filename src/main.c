/*
 * main.c - nothing but the entry; the tests link everything else.
 */
#include "config.h"

#include "cli.h"

int
main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
