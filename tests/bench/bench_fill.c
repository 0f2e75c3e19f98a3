/*
 * A primary for benches of the command:
 *
 *	bench_fill DIRECTORY ACCOUNTS RENAMES MESSAGES [text]
 *
 * with that many renames and messages in each account, of 8 KiB, or of 2 KiB of
 * text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_journal.h"

static unsigned number(const char *text)
{
	char *end = NULL;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || n > 1000000)
		bench_stop(text, "no number up to 1000000");
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	struct bench_journal journal = {.mail = BENCH_LARGE};

	if (argc == 6 && strcmp(argv[5], "text") == 0)
		journal.mail = BENCH_TEXT;
	else if (argc != 5)
		bench_stop("usage",
			   "DIRECTORY ACCOUNTS RENAMES MESSAGES [text]");
	journal.accounts = number(argv[2]);
	journal.renames = number(argv[3]);
	journal.messages = number(argv[4]);
	bench_journal_make(argv[1], &journal);
	(void)printf("%u\n", bench_journal_groups(&journal));
	return 0;
}
