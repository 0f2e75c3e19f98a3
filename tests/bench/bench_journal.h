/*
 * Journals for benches to replicate.  What fails ends the process.
 */
#ifndef BENCH_JOURNAL_H
#define BENCH_JOURNAL_H

#include <mbj/edit.h>
#include <mbj/store.h>

enum { BENCH_BOXES = 10 }; /* of an account, beside INBOX */

/* What a message is; no two are alike. */
enum bench_mail {
	BENCH_LARGE, /* 8 KiB, nearly all of it one letter */
	BENCH_TEXT,  /* 2 KiB of bench_text.h */
	BENCH_NOISE, /* 2 KiB in which nothing is alike */
};

/* Of each of so many accounts. */
struct bench_journal {
	unsigned accounts;
	unsigned renames;
	unsigned messages;
	enum bench_mail mail;
};

_Noreturn void bench_stop(const char *what, const char *why);
/* A new primary at dir: a group for each account and each of the others. */
void bench_journal_make(const char *dir, const struct bench_journal *journal);
unsigned bench_journal_groups(const struct bench_journal *journal);
/* The turn-th one. */
void bench_rename(struct mbj_store *store, unsigned account, unsigned turn);

#endif
