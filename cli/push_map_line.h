/*
 * Lines of a map's messages, taken apart and put together: for push_map.c.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_CLI_PUSH_MAP_LINE_H
#define MBJ_CLI_PUSH_MAP_LINE_H

#include "push_map.h"

bool push_map_attempt_parse(const struct push_words *words,
			    struct push_attempt *attempt);
/* UID, UID there, MODSEQ, BLOB, SIZE and HEAD, from that word on. */
bool push_map_entry_parse(const struct push_words *words, size_t at,
			  struct push_entry *entry);
/* UID there, BLOB, SIZE and HEAD. */
bool push_map_over_parse(const struct push_words *words,
			 struct push_entry *entry);
/* UID (or 0), UID there, BLOB, SIZE and HEAD. */
bool push_map_marked_parse(const struct push_words *words,
			   struct push_entry *entry);
/* UID, MODSEQ and SENT. */
bool push_map_short_parse(const struct push_words *words,
			  struct push_entry *entry);

/* To the log's line; of one that is short the line says MODSEQ 0. */
void push_map_put_attempt(struct push_log *log,
			  const struct push_attempt *attempt,
			  const struct push_entry *last);
void push_map_put_entry(struct push_log *log, const struct push_entry *entry);
/* What it was before is taken from it, unless that is over as well. */
void push_map_put_marked(struct push_log *log, const struct push_entry *entry);
void push_map_put_short(struct push_log *log, const struct push_entry *entry);

#endif
