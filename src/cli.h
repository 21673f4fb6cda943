/*
 * cli.h - the command line: which subcommand, which options, which exit code.
 *
 * Exit codes: 0 done; 1 it failed (refused by the server, connection lost); 2
 * it was asked for wrongly (usage, configuration).
 */
#ifndef CLI_H
#define CLI_H

int	cli_main(int argc, char **argv);

#endif
