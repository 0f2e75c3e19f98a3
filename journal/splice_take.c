/*
 * Where the groups of a mended segment come from: what is left here, or the
 * other store.
 *
 * Invariants:
 *   1. a group is handed out only where it continues the chain of the walk;
 *   2. the walk's place is not moved here.
 *
 * Threads: one at a time.
 */
#include <mbj/check.h>

#include "splice_impl.h"

enum mbj_rc splice_other_way(const struct splice *s, struct mbj_lsn lsn,
			     struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s went another way: its groups from %llu on do "
			     "not lead to what is here behind group %llu; "
			     "nothing was changed",
			     s->from, (unsigned long long)s->unpinned.v,
			     (unsigned long long)lsn.v);
}

/* ------------------------------------------------------------ the source */

static enum mbj_rc source_failed(const struct splice *s, struct mbj_lsn lsn,
				 const struct mbj_error *why,
				 struct mbj_error *err)
{
	if (why->rc != MBJ_ENOTFOUND && why->rc != MBJ_ECORRUPT) {
		if (err != NULL)
			*err = *why;
		return why->rc;
	}
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "group %llu is lost here, and %s does not have "
			     "it: %s; nothing was changed",
			     (unsigned long long)lsn.v, s->from, why->message);
}

/* The other store's group behind the walk, whatever it continues. */
static enum mbj_rc source_read(struct splice *s, struct mbj_group *ret_group,
			       struct mbj_error *why)
{
	struct mbj_lsn lsn = splice_lsn_next(s);
	enum mbj_rc rc = MBJ_OK;

	if (s->source_at.v != lsn.v)
		rc = mbj_log_reader_seek(s->source, lsn, why);
	if (rc == MBJ_OK) {
		rc = mbj_log_reader_next(s->source, ret_group, why);
		if (rc == MBJ_ENOTFOUND)
			rc = mbj_error_set(why, rc, "its journal ends there");
	}
	if (rc == MBJ_OK)
		rc = ret_group->is_body_good
			     ? mbj_group_check(ret_group, why)
			     : mbj_log_reader_fault(s->source, ret_group, why);
	s->source_at.v = rc == MBJ_OK ? lsn.v + 1 : 0;
	return rc;
}

/* The other store's next group, which continues the walk. */
static enum mbj_rc source_next(struct splice *s, struct mbj_group *ret_group,
			       struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_lsn lsn = splice_lsn_next(s);
	enum mbj_rc rc;

	rc = source_read(s, ret_group, &why);
	if (rc < 0)
		return source_failed(s, lsn, &why, err);
	if (s->unpinned.v == 0)
		s->unpinned = lsn;
	MBJ_ASSERT(ret_group->header.lsn.v == lsn.v);
	rc = mbj_group_chain_check(ret_group, s->sha, &s->end.chain, err);
	if (rc == MBJ_OK && ret_group->header.epoch.v > s->identity.epoch.v)
		rc = MBJ_ECORRUPT;
	if (rc == MBJ_ECORRUPT)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s went another way: its group %llu does "
				     "not continue what is here before it; "
				     "nothing was changed",
				     s->from, (unsigned long long)lsn.v);
	return rc;
}

/* ---------------------------------------------------------- one segment */

/* Be at the first record left that is not before the walk. */
static enum mbj_rc local_reach(struct splice *s, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK &&
	       (!s->has_held || s->held.header.lsn.v <= s->end.lsn.v)) {
		rc = splice_local_next(&s->local, &s->held, err);
		s->has_held = rc == MBJ_OK;
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc splice_left_look(struct splice *s, bool *ret_has,
			     struct mbj_error *err)
{
	enum mbj_rc rc = local_reach(s, err);

	*ret_has = rc == MBJ_OK && s->has_held &&
		   s->held.header.lsn.v == splice_lsn_next(s).v &&
		   mbj_group_chain_check(&s->held, s->sha, &s->end.chain,
					 NULL) == MBJ_OK;
	return rc;
}

void splice_fetched_note(struct mbj_mended_segment *piece, struct mbj_lsn lsn)
{
	if (piece->fetched++ == 0)
		piece->lost = lsn;
	piece->lost_end = lsn;
}

enum mbj_rc splice_group_pick(struct splice *s,
			      struct mbj_mended_segment *piece,
			      struct mbj_group *ret_group,
			      struct mbj_error *err)
{
	bool has_own;
	enum mbj_rc rc;

	rc = splice_left_look(s, &has_own, err);
	if (rc < 0)
		return rc;
	if (has_own) {
		*ret_group = s->held;
		s->unpinned.v = 0;
		piece->kept++;
		return MBJ_OK;
	}
	rc = source_next(s, ret_group, err);
	if (rc < 0)
		return rc;
	splice_fetched_note(piece, ret_group->header.lsn);
	return MBJ_OK;
}

/* ------------------------------------------------------- behind the end */

/* A group that is left here is this store's. */
static enum mbj_rc twin_check(struct splice *s, const struct mbj_group *theirs,
			      struct mbj_error *err)
{
	bool is_left;
	enum mbj_rc rc = splice_left_look(s, &is_left, err);

	if (rc < 0 ||
	    (is_left && splice_chain_equal(&s->held.chain, &theirs->chain)))
		return rc;
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s is a primary, too, and has group %llu, where "
			     "nothing here tells whether that is this store's "
			     "or its own: take a replica; nothing was changed",
			     s->from, (unsigned long long)splice_lsn_next(s).v);
}

enum mbj_rc splice_tail_next(struct splice *s, struct mbj_group *ret_group,
			     bool *ret_has, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_log_end theirs;
	enum mbj_rc rc;

	*ret_has = false;
	s->source_is_other = false;
	s->source_is_fork = false;
	if (s->identity.role != MBJ_STORE_PRIMARY || s->source_is_astray)
		return MBJ_OK;
	rc = mbj_log_reader_end(s->source, &theirs, &why);
	if (rc == MBJ_OK && theirs.lsn.v <= s->end.lsn.v) {
		s->source_is_fork =
			theirs.lsn.v == s->end.lsn.v &&
			!splice_chain_equal(&theirs.chain, &s->end.chain);
		return MBJ_OK;
	}
	if (rc == MBJ_OK)
		rc = source_read(s, ret_group, &why);
	if (rc == MBJ_OK) {
		bool is_ours = ret_group->header.epoch.v <= s->identity.epoch.v;

		*ret_has = is_ours &&
			   mbj_group_chain_check(ret_group, s->sha,
						 &s->end.chain, NULL) == MBJ_OK;
		s->source_is_other = !*ret_has;
		s->source_is_fork = is_ours && !*ret_has;
		return *ret_has && s->source_is_twin
			       ? twin_check(s, ret_group, err)
			       : MBJ_OK;
	}
	/* It was trimmed further than this store is. */
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_ECORRUPT;
	return mbj_error_set(err, rc,
			     "cannot tell whether group %llu is lost here, "
			     "which %s should have: %s; nothing was changed",
			     (unsigned long long)splice_lsn_next(s).v, s->from,
			     why.message);
}

enum mbj_rc splice_tail_compare(struct splice *s, const struct mbj_group *group,
				bool *ret_is_kept, struct mbj_error *err)
{
	enum mbj_rc rc = splice_left_look(s, ret_is_kept, err);

	if (*ret_is_kept && !splice_chain_equal(&s->held.chain, &group->chain))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s went another way: its group %llu is "
				     "not the one that is here; nothing was "
				     "changed",
				     s->from,
				     (unsigned long long)group->header.lsn.v);
	return rc;
}
