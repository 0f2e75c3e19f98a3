/*
 * Attributes of mailboxes as the state keeps them: order, kinds, damage.
 */
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/state.h>

#include "cases.h"
#include "state_priv.h"

static struct mbj_error err;

struct lab {
	char *tmpdir;
	struct mbj_state *state;
	struct mbj_txn *txn;
	struct mbj_id account;
	uint64_t revs[3]; /* of the mailboxes 1 and 2 */
};

static void lab_begin(struct lab *lab)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_account account = {
		.policy = MBJ_NAME_POLICY_DEFAULT,
		.name = mbj_bytes_str("alice"),
	};

	memset(lab, 0, sizeof(*lab));
	lab->tmpdir = test_tmpdir_new();
	lab->account = account.id = test_id(1000);
	options.engine = MBJ_STATE_MEMORY;
	test_ok(mbj_state_open(mbj_sys_posix(), lab->tmpdir, test_id(999),
			       &options, &lab->state, &err),
		err);
	test_ok(mbj_txn_begin(lab->state, &lab->txn, &err), err);
	test_ok(mbj_txn_account_create(lab->txn, &account, &err), err);
	for (uint64_t i = 1; i <= 2; i++) {
		struct mbj_bytes name = mbj_bytes_str(i == 1 ? "A" : "B");
		const struct mbj_mailbox mailbox = {
			.id = test_id(i),
			.parent = MBJ_ID_ROOT,
			.name = {name, name},
			.uidvalidity = 1,
		};

		lab->revs[i] = 1;
		test_ok(mbj_txn_mailbox_create(lab->txn, lab->account, &mailbox,
					       &err),
			err);
	}
}

static void lab_end(struct lab *lab)
{
	mbj_txn_abort(&lab->txn);
	mbj_state_close(&lab->state);
	test_tmpdir_free(&lab->tmpdir);
}

static void set(struct lab *lab, uint64_t mailbox, uint8_t kind,
		const char *name, const char *value)
{
	test_ok(mbj_txn_mailbox_set_attr(lab->txn, lab->account,
					 test_id(mailbox), lab->revs[mailbox]++,
					 kind, mbj_bytes_str(name),
					 mbj_bytes_str(value), &err),
		err);
}

/* "name=value " of each; 0: of the whole account. */
static const char *listed(struct lab *lab, uint64_t mailbox, uint8_t kind)
{
	static char text[256];
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	size_t n = 0;

	text[0] = '\0';
	if (mailbox == 0)
		test_ok(mbj_scan_account_attrs(lab->txn, lab->account, &scan,
					       &err),
			err);
	else
		test_ok(mbj_scan_attrs(lab->txn, lab->account, test_id(mailbox),
				       kind, &scan, &err),
			err);
	while (mbj_scan_next_attr(&scan, &attr, &err) == MBJ_OK) {
		if (mailbox != 0)
			ck_assert(mbj_id_equal(attr.mailbox, test_id(mailbox)));
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s=%.*s ",
				      (int)attr.name.n,
				      (const char *)attr.name.p,
				      (int)attr.value.n,
				      (const char *)attr.value.p);
	}
	mbj_scan_done(&scan);
	return text;
}

/* Goal: lists have what is there, by kind and name, of one mailbox or all. */
START_TEST(lists)
{
	struct mbj_bytes value;
	bool is_found = true;
	struct lab lab;

	lab_begin(&lab);
	set(&lab, 2, MBJ_ATTR_ACL, "bob", "lr");
	set(&lab, 1, MBJ_ATTR_METADATA, "bob", "2");
	set(&lab, 1, MBJ_ATTR_ACL, "bob", "l");
	set(&lab, 1, MBJ_ATTR_ACL, "ann", "r");
	ck_assert_str_eq(listed(&lab, 1, MBJ_ATTR_ANY), "ann=r bob=l bob=2 ");
	ck_assert_str_eq(listed(&lab, 1, MBJ_ATTR_ACL), "ann=r bob=l ");
	ck_assert_str_eq(listed(&lab, 1, MBJ_ATTR_METADATA), "bob=2 ");
	ck_assert_str_eq(listed(&lab, 0, 0), "ann=r bob=l bob=2 bob=lr ");
	set(&lab, 1, MBJ_ATTR_ACL, "bob", "");
	ck_assert_str_eq(listed(&lab, 1, MBJ_ATTR_ANY), "ann=r bob=2 ");
	test_ok(mbj_txn_attr_seek(lab.txn, lab.account, test_id(1),
				  MBJ_ATTR_ACL, mbj_bytes_str("bob"), &value,
				  &is_found, &err),
		err);
	ck_assert(!is_found);
	test_ok(mbj_txn_attr_seek(lab.txn, lab.account, test_id(2),
				  MBJ_ATTR_ACL, mbj_bytes_str("bob"), &value,
				  &is_found, &err),
		err);
	ck_assert(is_found && mbj_bytes_equal(value, mbj_bytes_str("lr")));
	ck_assert_str_eq(mbj_attr_kind_name(MBJ_ATTR_ACL), "acl");
	ck_assert_str_eq(mbj_attr_kind_name(MBJ_ATTR_METADATA), "metadata");
	ck_assert_ptr_null(mbj_attr_kind_name(MBJ_ATTR_ANY));
	lab_end(&lab);
}
END_TEST

static void set_account(struct lab *lab, const char *name, const char *value)
{
	test_ok(mbj_txn_account_set_attr(lab->txn, lab->account,
					 mbj_bytes_str(name),
					 mbj_bytes_str(value), &err),
		err);
}

/*
 * Goal: an account has entries of its own, which are in its digest and are no
 * mailbox's.  Method: set, replaced and removed between those of mailboxes; the
 * digest is another one each time, sums to the records, and is the first one
 * again at the end.
 */
START_TEST(account_entries)
{
	struct mbj_digest digests[4];
	struct mbj_account account;
	struct mbj_digest summed;
	struct lab lab;

	lab_begin(&lab);
	set(&lab, 1, MBJ_ATTR_METADATA, "n", "m");
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			set_account(&lab, "n",
				    i == 1   ? "a"
				    : i == 2 ? "b"
					     : "");
		test_ok(mbj_txn_account_get(lab.txn, lab.account, &account,
					    &err),
			err);
		digests[i] = account.digest;
		test_ok(mbj_txn_account_check(lab.txn, lab.account, &summed,
					      &err),
			err);
		ck_assert(mbj_digest_equal(&summed, &account.digest));
		ck_assert_str_eq(listed(&lab, 0, 0), i == 1   ? "n=a n=m "
						     : i == 2 ? "n=b n=m "
							      : "n=m ");
		ck_assert_str_eq(listed(&lab, 1, MBJ_ATTR_ANY), "n=m ");
	}
	ck_assert(!mbj_digest_equal(&digests[0], &digests[1]));
	ck_assert(!mbj_digest_equal(&digests[1], &digests[2]));
	ck_assert(mbj_digest_equal(&digests[0], &digests[3]));
	ck_assert_int_eq(mbj_txn_account_set_attr(lab.txn, test_id(77),
						  mbj_bytes_str("n"),
						  mbj_bytes_str("v"), &err),
			 MBJ_ECONFLICT);
	/* With the account they go. */
	set_account(&lab, "n", "a");
	test_ok(mbj_txn_account_delete(lab.txn, lab.account,
				       (struct mbj_lsn){9}, &err),
		err);
	ck_assert_str_eq(listed(&lab, 0, 0), "");
	lab_end(&lab);
}
END_TEST

/* Records that are none: kind, size of the name, bytes of the record. */
static const struct {
	uint8_t kind;
	size_t name_size;
	const char *record;
	size_t record_size;
} damages[] = {
	{MBJ_ATTR_ACL, 1, "\2x", 2},
	{MBJ_ATTR_ACL, 1, "\1", 1},
	{MBJ_ATTR_ACL, 1, "", 0},
	{3, 1, "\1x", 2},
	{MBJ_ATTR_ACL, 0, "\1x", 2},
	{MBJ_ATTR_ACL, MBJ_ATTR_NAME_MAX + 1, "\1x", 2},
};

/* Goal: a damaged record is named, by a scan and by who asks for it. */
START_TEST(damaged)
{
	static char name[MBJ_ATTR_NAME_MAX + 1];
	struct mbj_bytes value;
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	bool is_found;
	struct lab lab;

	memset(name, 'n', sizeof(name));
	lab_begin(&lab);
	key_attribute(&lab.txn->key, lab.account, test_id(1), damages[_i].kind,
		      mbj_bytes_make(name, damages[_i].name_size));
	mbj_buf_clear(&lab.txn->value);
	mbj_buf_put(&lab.txn->value, damages[_i].record,
		    damages[_i].record_size);
	test_ok(txn_put(lab.txn, TABLE_ATTRIBUTES, &err), err);
	if (_i < 3)
		ck_assert_int_eq(mbj_txn_attr_seek(lab.txn, lab.account,
						   test_id(1), damages[_i].kind,
						   mbj_bytes_str("n"), &value,
						   &is_found, &err),
				 MBJ_ECORRUPT);
	test_ok(mbj_scan_account_attrs(lab.txn, lab.account, &scan, &err), err);
	ck_assert_int_eq(mbj_scan_next_attr(&scan, &attr, &err), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "attributes"));
	mbj_scan_done(&scan);
	lab_end(&lab);
}
END_TEST

TCase *test_attribute_case(void)
{
	TCase *tc = tcase_create("attribute");

	tcase_add_test(tc, lists);
	tcase_add_test(tc, account_entries);
	tcase_add_loop_test(tc, damaged, 0,
			    sizeof(damages) / sizeof(damages[0]));
	return tc;
}
