/*
 * The walk of who mends a journal.
 *
 *	a segment is sound  go on behind it
 *	it is not           make it again: the groups that it has left, and
 *	                    where one is missing or does not continue the chain,
 *	                    the other store's
 *
 * Fetched groups are pinned by the first thing behind them that is ours and
 * has their chain value: a group of ours that continues it, a segment's
 * header, the published end.  Without one they would be a guess.
 *
 * Invariants:
 *   1. the walk ends at what is known to have been durable: whole batches, what
 *      was published or is in the state, and of a primary what the other store
 *      has.  A torn tail stays no part of the journal;
 *   2. where it fails it has changed nothing that has a segment's name.
 *
 * Threads: one at a time.
 */
#include <mbj/check.h>
#include <mbj/codec.h>

#include "splice_impl.h"

/* The published chain, where it is about this place. */
static enum mbj_rc published_check(struct splice *s, struct mbj_error *err)
{
	if (s->published.lsn.v == 0 || s->published.lsn.v != s->end.lsn.v)
		return MBJ_OK;
	if (!splice_chain_equal(&s->published.chain, &s->end.chain))
		return s->unpinned.v > 0
			       ? splice_other_way(s, s->end.lsn, err)
			       : mbj_error_set(err, MBJ_ECORRUPT,
					       "group %llu has another chain "
					       "value than was published in "
					       "%s; nothing was changed",
					       (unsigned long long)s->end.lsn.v,
					       s->dir);
	s->unpinned.v = 0;
	return MBJ_OK;
}

/* Of the last segment: where what was durable ends. */
static enum mbj_rc last_stop(struct splice *s, const char *name,
			     struct mbj_lsn *ret_stop, struct mbj_error *err)
{
	struct segment_header header;
	struct mbj_group group;
	enum mbj_rc rc;

	*ret_stop = s->published.lsn;
	rc = splice_local_begin(&s->local, s->sys, s->dir, name,
				s->identity.lineage, &header, err);
	while (rc == MBJ_OK) {
		rc = splice_local_next(&s->local, &group, err);
		if (rc == MBJ_OK && s->local.is_whole &&
		    group.header.lsn.v > ret_stop->v)
			*ret_stop = group.header.lsn;
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc piece_add(struct splice *s,
			     const struct segment_entry *entry,
			     struct mbj_mended_segment **ret_piece,
			     struct mbj_error *err)
{
	struct mbj_mended *mended = s->mended;
	char name[SEGMENT_NAME_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	void *segments = mended->segments;
	enum mbj_rc rc;

	segment_name_print(entry->number, entry->first, name);
	rc = mbj_path_join(path, s->dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&segments, &mended->capacity,
				       mended->count + 1,
				       sizeof(*mended->segments),
				       SEGMENT_COUNT_MAX, err);
	mended->segments = segments;
	if (rc < 0)
		return rc;
	*ret_piece = &mended->segments[mended->count++];
	**ret_piece = (struct mbj_mended_segment){
		.number = entry->number,
		.first = entry->first,
		.was_missing = !mbj_path_exists(s->sys, path),
	};
	return MBJ_OK;
}

/* The header of a new file: known, but for the salt, from around it. */
static enum mbj_rc header_make(const struct splice *s,
			       const struct segment_entry *entry,
			       const struct segment_header *old,
			       struct segment_header *ret_header,
			       struct mbj_error *err)
{
	uint8_t random[8];
	int result = s->sys->random(s->sys->ctx, random, sizeof(random));

	if (result < 0)
		return mbj_error_errno(err, -result, "cannot get random bytes",
				       "for a segment");
	*ret_header = (struct segment_header){
		.lineage = s->identity.lineage,
		.first = entry->first,
		.number = entry->number,
		.salt = mbj_load_u64(random),
		.created_us = s->sys->now_us(s->sys->ctx),
		.chain = s->end.chain,
	};
	if (old->number != 0) {
		ret_header->compatible = old->compatible;
		ret_header->created_us = old->created_us;
	}
	return MBJ_OK;
}

/* All that was kept and fetched of the last segment, and of those behind it. */
static uint64_t pieces_count(const struct splice *s, size_t from)
{
	uint64_t count = 0;

	for (size_t i = from; i < s->mended->count; i++)
		count += s->mended->segments[i].kept +
			 s->mended->segments[i].fetched;
	return count;
}

/* The segment behind a full one; files behind the last there are none. */
static enum mbj_rc piece_roll(struct splice *s,
			      struct mbj_mended_segment **piece,
			      struct mbj_error *err)
{
	const struct segment_header none = {.number = 0};
	struct segment_entry next = {(*piece)->number + 1, splice_lsn_next(s)};
	struct segment_header header;
	enum mbj_rc rc;

	rc = splice_file_end(&s->out, s->sha, err);
	if (rc == MBJ_OK)
		rc = header_make(s, &next, &none, &header, err);
	if (rc == MBJ_OK)
		rc = piece_add(s, &next, piece, err);
	return rc == MBJ_OK ? splice_file_begin(&s->out, &header, err) : rc;
}

/* Up to stop; the last segment is not alone where it becomes full. */
static enum mbj_rc groups_fill(struct splice *s, struct mbj_lsn stop,
			       bool is_last, struct mbj_mended_segment **piece,
			       struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && s->end.lsn.v < stop.v) {
		if (is_last && splice_file_is_full(&s->out))
			rc = piece_roll(s, piece, err);
		if (rc == MBJ_OK)
			rc = splice_group_pick(s, *piece, &group, err);
		if (rc == MBJ_OK)
			rc = splice_file_add(&s->out, &group, err);
		if (rc < 0)
			break;
		s->end = (struct mbj_log_end){group.header.lsn, group.chain};
		rc = published_check(s, err);
	}
	return rc;
}

/*
 * More may have been durable than is here now: whole records go on, which a
 * replica may have said that it has.  At a primary a mark, or a state, that is
 * just as far is taken for the last one; any other is of before a power cut,
 * and a snapshot of any time, and then nothing but zeros behind the last group
 * can say that it was that.
 */
static enum mbj_rc end_is_sure(struct splice *s, bool *ret_is_sure,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = splice_left_look(s, ret_is_sure, err);
	*ret_is_sure = !*ret_is_sure;
	if (rc == MBJ_OK && *ret_is_sure &&
	    s->identity.role == MBJ_STORE_PRIMARY &&
	    s->told.v != s->end.lsn.v) {
		*ret_is_sure = s->local.last.v == s->end.lsn.v;
		if (*ret_is_sure)
			rc = splice_local_is_blank(&s->local, ret_is_sure, err);
	}
	return rc;
}

/* What was durable behind all that tells how far the journal was. */
static enum mbj_rc tail_fill(struct splice *s, struct mbj_mended_segment *piece,
			     struct mbj_error *err)
{
	const size_t first = s->mended->count - 1;
	const struct mbj_lsn known = s->end.lsn;
	struct mbj_group group;
	bool is_sure = false;
	bool is_kept = false;
	bool has = false;
	enum mbj_rc rc;

	rc = splice_tail_next(s, &group, &has, err);
	while (rc == MBJ_OK && has) {
		if (splice_file_is_full(&s->out))
			rc = piece_roll(s, &piece, err);
		if (rc == MBJ_OK)
			rc = splice_tail_compare(s, &group, &is_kept, err);
		if (rc == MBJ_OK)
			rc = splice_file_add(&s->out, &group, err);
		if (rc < 0)
			break;
		s->end = (struct mbj_log_end){group.header.lsn, group.chain};
		if (is_kept)
			piece->kept++;
		else
			splice_fetched_note(piece, group.header.lsn);
		rc = splice_tail_next(s, &group, &has, err);
	}
	if (rc == MBJ_OK)
		rc = end_is_sure(s, &is_sure, err);
	if (rc == MBJ_OK &&
	    (pieces_count(s, first) == 0 || !is_sure ||
	     (s->identity.role == MBJ_STORE_PRIMARY &&
	      (s->source_is_other || s->source_is_astray ||
	       (s->source_is_later && s->end.lsn.v > known.v)))))
		s->mended->unsure = splice_lsn_next(s);
	return rc;
}

/* Make the segment again, from the walk's place up to stop, 0: the end. */
static enum mbj_rc segment_remake(struct splice *s,
				  const struct segment_entry *entry,
				  struct mbj_lsn stop, struct mbj_error *err)
{
	struct mbj_mended_segment *piece = NULL;
	struct segment_header header;
	struct segment_header old;
	char name[SEGMENT_NAME_SIZE];
	bool is_last = stop.v == 0;
	enum mbj_rc rc = MBJ_OK;

	segment_name_print(entry->number, entry->first, name);
	if (is_last)
		rc = last_stop(s, name, &stop, err);
	if (rc == MBJ_OK)
		rc = splice_local_begin(&s->local, s->sys, s->dir, name,
					s->identity.lineage, &old, err);
	s->has_held = false;
	if (rc == MBJ_OK)
		rc = header_make(s, entry, &old, &header, err);
	if (rc == MBJ_OK)
		rc = piece_add(s, entry, &piece, err);
	if (rc == MBJ_OK)
		rc = splice_file_begin(&s->out, &header, err);
	if (rc == MBJ_OK)
		rc = groups_fill(s, stop, is_last, &piece, err);
	if (rc == MBJ_OK && is_last)
		rc = tail_fill(s, piece, err);
	if (rc == MBJ_OK)
		rc = splice_file_end(&s->out, s->sha, err);
	return rc;
}

/* Files that are missing before this one: empty, as it voids them anyway. */
static enum mbj_rc gaps_fill(struct splice *s,
			     const struct segment_entry *entry,
			     struct mbj_error *err)
{
	const struct segment_header none = {.number = 0};
	struct mbj_mended_segment *piece;
	struct segment_header header;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < s->gaps.count; i++) {
		struct segment_entry gap = s->gaps.entries[i];

		if (gap.first.v != entry->first.v || gap.number > entry->number)
			continue;
		rc = header_make(s, &gap, &none, &header, err);
		if (rc == MBJ_OK)
			rc = piece_add(s, &gap, &piece, err);
		if (rc == MBJ_OK)
			rc = splice_file_begin(&s->out, &header, err);
		if (rc == MBJ_OK)
			rc = splice_file_end(&s->out, s->sha, err);
		s->gaps_filled++;
	}
	return rc;
}

/* One that is void stands behind it: what it had cannot be told. */
static enum mbj_rc gaps_check(const struct splice *s, struct mbj_error *err)
{
	if (s->gaps_filled == s->gaps.count)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%zu segments are missing in %s of which nothing "
			     "tells where they began; nothing was changed",
			     s->gaps.count - s->gaps_filled, s->dir);
}

/* A header that is good: it pins what is before it, or nothing fits. */
static enum mbj_rc header_check(struct splice *s,
				const struct segment_header *header,
				struct mbj_error *err)
{
	if (splice_chain_equal(&header->chain, &s->end.chain)) {
		s->unpinned.v = 0;
		return MBJ_OK;
	}
	if (s->unpinned.v > 0)
		return splice_other_way(s, s->end.lsn, err);
	return segment_fault(err, s->view.file.path, 0, header->first,
			     "a segment does not continue the one before it");
}

/*
 * The last segment is sound.  The other store may have groups behind its end,
 * for which it is made again, or others; and what looks torn may be whole
 * records, of a batch whose frame is damaged, or what nobody of this reign can
 * tell of.
 */
static enum mbj_rc sound_end_look(struct splice *s, const char *name,
				  bool is_torn, bool *ret_is_remade,
				  struct mbj_error *err)
{
	struct segment_header header;
	struct mbj_group behind;
	bool is_unsure = false;
	enum mbj_rc rc;

	s->has_held = false;
	rc = splice_local_begin(&s->local, s->sys, s->dir, name,
				s->identity.lineage, &header, err);
	if (rc == MBJ_OK)
		rc = splice_tail_next(s, &behind, ret_is_remade, err);
	if (rc < 0 || *ret_is_remade)
		return rc;
	if (is_torn)
		rc = splice_left_look(s, &is_unsure, err);
	if (s->source_is_fork ||
	    (is_torn && s->identity.role == MBJ_STORE_PRIMARY &&
	     (s->source_is_other || s->source_is_astray)))
		is_unsure = true;
	if (rc == MBJ_OK && is_unsure)
		s->mended->unsure = splice_lsn_next(s);
	return rc;
}

static enum mbj_rc segment_walk(struct splice *s, size_t index,
				struct mbj_error *err)
{
	const struct segment_entry *entry = &s->list.entries[index];
	struct segment_evidence evidence = {.published = s->published};
	struct mbj_error why = {.rc = MBJ_OK};
	struct segment_header header;
	char name[SEGMENT_NAME_SIZE];
	struct segment_scan scan;
	bool is_remade;
	enum mbj_rc rc;

	MBJ_ASSERT(entry->first.v == splice_lsn_next(s).v);
	/* What was published may be further than this segment counts. */
	if (index + 1 < s->list.count)
		evidence.stop.v = entry[1].first.v - 1;
	if (evidence.stop.v > 0 && s->published.lsn.v > evidence.stop.v)
		evidence.published.lsn.v = 0;
	evidence.durable = evidence.stop;
	rc = gaps_fill(s, entry, err);
	if (rc < 0)
		return rc;
	segment_name_print(entry->number, entry->first, name);
	rc = segment_view_open(&s->view, s->sys, s->dir, name,
			       s->identity.lineage, &header, &why);
	if (rc == MBJ_ECORRUPT || rc == MBJ_ENOTFOUND)
		return segment_remake(s, entry, evidence.stop, err);
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	rc = header_check(s, &header, err);
	if (rc == MBJ_OK)
		rc = segment_scan(&s->view, &header, &evidence, SEGMENT_GROUPS,
				  s->sha, &scan, err);
	if (rc != MBJ_OK)
		return rc;
	is_remade = scan.tail == SEGMENT_DAMAGED;
	/* The next one may take over inside a batch: what is void goes. */
	if (evidence.stop.v > 0 && scan.end.lsn.v > evidence.stop.v)
		is_remade = true;
	if (!is_remade)
		s->end = scan.end;
	if (rc == MBJ_OK && !is_remade && evidence.stop.v == 0)
		rc = sound_end_look(s, name, scan.tail == SEGMENT_TORN,
				    &is_remade, err);
	if (rc < 0 || !is_remade)
		return rc;
	s->end = (struct mbj_log_end){{header.first.v - 1}, header.chain};
	return segment_remake(s, entry, evidence.stop, err);
}

/* ------------------------------------------------------- the whole journal */

/* Where the walk begins: the segment that has the anchor. */
static enum mbj_rc walk_begin(struct splice *s, size_t *ret_index,
			      struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &s->identity.anchor;
	struct segment_entry *first = s->list.entries;
	struct segment_header header;
	char name[SEGMENT_NAME_SIZE];
	enum mbj_rc rc;

	if (s->list.count == 0 ||
	    (first->first.v > anchor->first.v && s->list.lowest == 1))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the beginning of the journal is lost: no "
				     "segment of %s has LSN %llu: make the "
				     "store again with restore or clone",
				     s->dir,
				     (unsigned long long)anchor->first.v);
	*ret_index = 0;
	s->end = (struct mbj_log_end){{anchor->first.v - 1}, anchor->chain};
	/* The file before all others is missing: it had the beginning. */
	if (first->first.v > anchor->first.v)
		return MBJ_OK;
	*ret_index = segment_list_find(&s->list, anchor->first);
	first += *ret_index;
	if (first->first.v == anchor->first.v)
		return MBJ_OK;
	segment_name_print(first->number, first->first, name);
	rc = segment_view_open(&s->view, s->sys, s->dir, name,
			       s->identity.lineage, &header, err);
	if (rc == MBJ_OK)
		s->end = (struct mbj_log_end){{header.first.v - 1},
					      header.chain};
	return rc;
}

static enum mbj_rc beginning_remake(struct splice *s, struct mbj_error *err)
{
	const struct segment_entry *first = s->list.entries;
	/* A void file may have the number before the first that counts. */
	struct segment_entry lost = {s->list.lowest - 1,
				     s->identity.anchor.first};

	if (first->first.v <= lost.first.v)
		return MBJ_OK;
	return segment_remake(s, &lost, (struct mbj_lsn){first->first.v - 1},
			      err);
}

enum mbj_rc splice_walk(struct splice *s, struct mbj_error *err)
{
	size_t index = 0;
	enum mbj_rc rc;

	rc = walk_begin(s, &index, err);
	if (rc == MBJ_OK)
		rc = beginning_remake(s, err);
	for (; rc == MBJ_OK && index < s->list.count; index++)
		rc = segment_walk(s, index, err);
	if (rc == MBJ_OK)
		rc = gaps_check(s, err);
	if (rc == MBJ_OK && s->unpinned.v > 0)
		rc = mbj_error_set(err, MBJ_EFENCED,
				   "nothing here is behind group %llu to say "
				   "that the groups of %s from %llu on are the "
				   "right ones; nothing was changed",
				   (unsigned long long)s->end.lsn.v, s->from,
				   (unsigned long long)s->unpinned.v);
	return rc;
}
