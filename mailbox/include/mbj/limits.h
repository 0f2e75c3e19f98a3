/*
 * Every limit of the mailbox model in one place; each has a test at its
 * maximum and at one more (docs/LIMITS.md).  Policy limits bind producers; a
 * replica accepts what its primary accepted, within the safety limits of the
 * formats.
 */
#ifndef MBJ_LIMITS_H
#define MBJ_LIMITS_H

enum {
	/* Bytes of one name component, UTF-8 after NFC. */
	MBJ_NAME_MAX = 255,
	/* Bytes of its comparison key: folding expands at most threefold. */
	MBJ_KEY_MAX = 3 * MBJ_NAME_MAX,
	/* Components of a path, judged on the mailbox that an edit names. */
	MBJ_DEPTH_MAX = 4096,
	/* Bytes of a whole path, delimiters included, judged likewise. */
	MBJ_PATH_MAX = 65536,
	/* Bytes of an account's name. */
	MBJ_ACCOUNT_NAME_MAX = 255,
	/* Mailboxes of one account. */
	MBJ_ACCOUNT_MAILBOXES_MAX = 4000000,
	/* Bytes of one attribute's name (ACL identifier, METADATA entry). */
	MBJ_ATTR_NAME_MAX = 1024,
	/* Bytes of one attribute's value. */
	MBJ_ATTR_VALUE_MAX = 65536,
	/* Attributes of one mailbox, of both kinds together. */
	MBJ_MAILBOX_ATTRS_MAX = 1000,
	/* METADATA entries of an account itself. */
	MBJ_ACCOUNT_ATTRS_MAX = 1000,
	/* Names of one account that can be subscribed by themselves. */
	MBJ_ACCOUNT_SUBSCRIPTIONS_MAX = 100000,
	/* Bytes of one keyword, and of all of a message with their ends. */
	MBJ_KEYWORD_MAX = 255,
	MBJ_KEYWORDS_MAX = 8192,
	/* Messages that one step of an edit copies, moves or expunges. */
	MBJ_EDIT_MESSAGES_MAX = 100000,
	/* Ranges of one UID set. */
	MBJ_UID_RANGES_MAX = 8192,
	/* Changes of a mailbox's content within which no expunge is forgotten.
	 */
	MBJ_VANISHED_REVS = 16384,
	/* Intents of one account that are open at a time. */
	MBJ_ACCOUNT_INTENTS_MAX = 100,
	/* Bytes of what one intent is about. */
	MBJ_INTENT_SIZE_MAX = 65536,
	/* Bytes of the name of a producer of intents. */
	MBJ_PRODUCER_MAX = 255,
};

#endif
