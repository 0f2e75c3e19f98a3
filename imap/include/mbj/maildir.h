/*
 * Maildir++ with what Dovecot adds: names of files and folders, UIDs, keywords
 * and subscriptions; reading a folder, and writing one.
 *
 *	DIR/{cur,new,tmp}		INBOX
 *	DIR/.A.B/{cur,new,tmp}		A/B, its name in modified UTF-7
 *	.../dovecot-uidlist		UIDVALIDITY, UIDNEXT, UIDs, MAILBOXID
 *	.../dovecot-keywords		what the letters a to z of names mean
 *	.../dovecot-acl			who may do what
 *	DIR/subscriptions
 *
 * INTERNALDATE is a file's mtime.  Paths of mailboxes are UTF-8, their
 * components joined by NUL: judging names (mbj/name.h) is the caller's.
 *
 * Not here: accounts, what is done about anything (cli/), LAYOUT=fs, Courier's
 * lists.
 *
 * Threads: one at a time per object; the formats are pure functions.
 */
#ifndef MBJ_MAILDIR_H
#define MBJ_MAILDIR_H

#include <mbj/error.h>
#include <mbj/message.h>
#include <mbj/sys.h>
#include <mbj/types.h>
#include <mbj/utf7.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	/* Bytes of a file's or a folder's name. */
	MBJ_MAILDIR_NAME_MAX = 255,
	/* Letters that names have for keywords: a to z. */
	MBJ_MAILDIR_LETTERS = 26,
	/* Bytes of a folder's lists, and of the names in it. */
	MBJ_MAILDIR_LIST_MAX = 512 << 20,
	/* Messages of a folder. */
	MBJ_MAILDIR_MESSAGES_MAX = 1 << 20,
};

#define MBJ_MAILDIR_UIDLIST	  "dovecot-uidlist"
#define MBJ_MAILDIR_KEYWORDS	  "dovecot-keywords"
#define MBJ_MAILDIR_SUBSCRIPTIONS "subscriptions"
#define MBJ_MAILDIR_ACL		  "dovecot-acl"

/* --------------------------------------------------------- names of files */

struct mbj_maildir_name {
	struct mbj_bytes base; /* never changes: all before the ':' */
	uint8_t flags;	       /* enum mbj_flag */
	uint32_t letters;      /* bit 0 is a, bit 25 z */
	bool is_passed;	       /* P: forwarded, bounced or resent */
};

/* Any bytes are a name; what its flags have unknown is passed over. */
void mbj_maildir_name_parse(struct mbj_bytes name,
			    struct mbj_maildir_name *ret_name);
/* "base:2,..." with letters in ASCII order, as the format wants them. */
void mbj_maildir_name_put(struct mbj_buf *buf,
			  const struct mbj_maildir_name *name);
/* By the time that a name begins with, then by its bytes. */
int mbj_maildir_name_compare(struct mbj_bytes a, struct mbj_bytes b);

/* ------------------------------------------------------- names of folders */

/*
 * ".A.B" to a path.  A component that is no modified UTF-7 is taken as it is,
 * as Dovecot takes it.
 * Returns: MBJ_EINVALID where it is no folder's name.
 */
enum mbj_rc mbj_maildir_path_parse(struct mbj_utf7 *utf7, struct mbj_bytes name,
				   struct mbj_buf *ret_path,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * And back; "" for INBOX, which is the Maildir itself.
 * Returns: MBJ_EINVALID where a component has a '.' or a '/', or all of it is
 * too long: such a mailbox cannot be in a Maildir++.
 */
enum mbj_rc mbj_maildir_path_put(struct mbj_utf7 *utf7, struct mbj_bytes path,
				 struct mbj_buf *ret_name,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------------------ lists */

/* dovecot-uidlist, versions 1 and 3. */
struct mbj_uidlist {
	uint32_t uidvalidity;
	uint32_t uidnext; /* above every UID of it, once all were read */
	bool has_id;
	struct mbj_id id; /* MAILBOXID: Dovecot's mailbox GUID */
	size_t bad_count; /* lines that are none, or whose UID does not rise */
	struct mbj_bytes rest;
	uint32_t version;
	uint32_t last;
};

/*
 * Returns: MBJ_EINVALID for no such list, MBJ_EUNSUPPORTED for another version.
 */
enum mbj_rc mbj_uidlist_begin(struct mbj_bytes text,
			      struct mbj_uidlist *ret_list,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* A line; the name may have flags, which mean nothing. */
struct mbj_uidlist_line {
	uint32_t uid;
	struct mbj_bytes name;
	/* That is not the name's base, whatever bytes it has; or empty. */
	struct mbj_bytes guid;
};

/* False: that was all. */
bool mbj_uidlist_next(struct mbj_uidlist *list,
		      struct mbj_uidlist_line *ret_line);
/* Version 3. */
void mbj_uidlist_put_head(struct mbj_buf *buf, uint32_t uidvalidity,
			  uint32_t uidnext, struct mbj_id id);
void mbj_uidlist_put(struct mbj_buf *buf, const struct mbj_uidlist_line *line);

/* dovecot-keywords: words[0] is what a means, empty where it means nothing. */
void mbj_maildir_keywords_parse(
	struct mbj_bytes text, struct mbj_bytes ret_words[MBJ_MAILDIR_LETTERS]);
void mbj_maildir_keywords_put(struct mbj_buf *buf, unsigned letter,
			      struct mbj_bytes word);

/*
 * dovecot-acl, a line for an identifier.  Identifiers are as Dovecot shows them
 * in IMAP (RFC 4314): a user's name for user=NAME, $NAME for group=NAME, !$NAME
 * for group-override=NAME, and anyone, authenticated, owner; with - in front
 * for rights that are taken away.
 *
 * A line without rights takes away what less specific lines give.  IMAP has no
 * such entry: it is read as one with - in front and all letters.
 */
struct mbj_maildir_acl {
	struct mbj_buf name; /* the caller inits and frees it */
	/* Of lrswtipekxa, each once, in that order; empty: the line says
	 * nothing, and is no entry. */
	char rights[12];
	bool is_cut; /* has named rights besides, which are a site's own */
};

/*
 * The next line.
 * Returns: MBJ_EINVALID for a line that Dovecot refuses, which then gives no
 * rights by any line, or that IMAP cannot say.  Lines narrow what others give:
 * no list means what it meant without one of them.  MBJ_ENOTFOUND (err
 * untouched): that was all.
 */
enum mbj_rc mbj_maildir_acl_next(struct mbj_bytes *rest,
				 struct mbj_maildir_acl *ret_line,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * False: something of it has no place in the file, which are rights of the
 * site's own (digits); or, *ret_is_lost, all of it: names that would not be
 * read back as they are, with control characters or as "#x".  Then nothing is
 * put.
 */
bool mbj_maildir_acl_put(struct mbj_buf *buf, struct mbj_bytes name,
			 struct mbj_bytes rights, bool *ret_is_lost);

/* subscriptions, versions 1 and 2. */
struct mbj_maildir_subscriptions {
	struct mbj_bytes rest;
	bool is_tabbed; /* version 2 */
};

void mbj_maildir_subscriptions_begin(
	struct mbj_bytes text, struct mbj_maildir_subscriptions *ret_list);
/* MBJ_ENOTFOUND (err untouched): that was all. */
enum mbj_rc
mbj_maildir_subscriptions_next(struct mbj_maildir_subscriptions *list,
			       struct mbj_utf7 *utf7, struct mbj_buf *ret_path,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Version 2: a head, then each path. */
void mbj_maildir_subscriptions_put_head(struct mbj_buf *buf);
enum mbj_rc mbj_maildir_subscriptions_put(struct mbj_buf *buf,
					  struct mbj_utf7 *utf7,
					  struct mbj_bytes path,
					  struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- reading */

struct mbj_maildir_folder;

/*
 * Folders of dir, each name NUL-terminated, in byte order; without INBOX.
 * What else begins with a '.' is left out, but for symbolic links: whoever asks
 * has to say that these are not followed.
 */
enum mbj_rc mbj_maildir_folders(const struct mbj_sys *sys, const char *dir,
				struct mbj_buf *ret_names,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* False: there is none, or it is no regular file, or it cannot be read. */
bool mbj_maildir_list_load(const struct mbj_sys *sys, const char *dir,
			   const char *name, struct mbj_buf *ret_text,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Look at the folder that dir is: its lists, and the messages in cur and new,
 * first those of the list by UID, then the others by mbj_maildir_name_compare.
 * A list that cannot be read or is none is as if it were not there, and err
 * says why (ret_has_list_error).
 * Returns: MBJ_ENOTFOUND where there is neither cur nor new, MBJ_EINVALID where
 * one of them is a symbolic link.
 */
enum mbj_rc mbj_maildir_folder_open(const struct mbj_sys *sys, const char *dir,
				    struct mbj_maildir_folder **ret_folder,
				    bool *ret_has_list_error,
				    struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_maildir_folder_close(struct mbj_maildir_folder **folder);

/* uidvalidity 0: there is no list. */
const struct mbj_uidlist *
mbj_maildir_folder_uidlist(const struct mbj_maildir_folder *folder);
size_t mbj_maildir_folder_count(const struct mbj_maildir_folder *folder);

struct mbj_maildir_message {
	uint32_t uid; /* 0: the list does not have it */
	uint8_t flags;
	struct mbj_bytes keywords; /* as mbj_keywords_are_good wants them */
	/* Some of its letters mean no keyword. */
	bool has_unknown_letters;
	/*
	 * As Dovecot has it: what the list says, or the base of the file's
	 * name; empty where mbj_guid_is_good does not want it.
	 */
	struct mbj_bytes guid;
	bool has_listed_guid; /* the former */
};

/* Borrowed until the next call.  Requires: index < count. */
enum mbj_rc mbj_maildir_folder_get(struct mbj_maildir_folder *folder,
				   size_t index,
				   struct mbj_maildir_message *ret_message,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* Its path, as it was when the folder was opened. */
enum mbj_rc mbj_maildir_folder_path(const struct mbj_maildir_folder *folder,
				    size_t index, char path[MBJ_PATH_TEXT_MAX],
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Its file, for reading; where somebody changed its flags meanwhile, under the
 * name that it has now.
 * Returns: MBJ_ENOTFOUND, MBJ_EINVALID for what is no regular file.
 */
enum mbj_rc mbj_maildir_folder_read(struct mbj_maildir_folder *folder,
				    size_t index, struct mbj_file *ret_file,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- writing */

/*
 * Make dir with what a folder has; what is there already stays.  A link is
 * followed for the whole Maildir (is_inbox) alone, and fails elsewhere.
 * Durability: mbj_maildir_folder_end.
 */
enum mbj_rc mbj_maildir_folder_make(const struct mbj_sys *sys, const char *dir,
				    bool is_inbox,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A message on its way in: a file of dir/tmp, to be written and handed to
 * mbj_maildir_message_finish, or to be closed.
 */
enum mbj_rc mbj_maildir_message_begin(const struct mbj_sys *sys,
				      const char *dir, const char *base,
				      struct mbj_file *ret_file,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * *ret_has_time false: its file system has no such time (ext4: before 1901,
 * after 2446), the file has another one.
 * Durability: its bytes and time are on disk; its name is after
 * mbj_maildir_folder_end.
 * Ownership: file is closed, whatever is returned.
 */
enum mbj_rc mbj_maildir_message_finish(struct mbj_file *file, const char *dir,
				       const char *name, int64_t time,
				       bool *ret_has_time,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/* The same of one that an earlier run finished, and called old. */
enum mbj_rc mbj_maildir_message_again(const struct mbj_sys *sys,
				      const char *dir, const char *old,
				      const char *name, int64_t time,
				      bool *ret_has_time,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A list that a folder may be without: where text is empty it goes, as what an
 * earlier run left of it.
 */
enum mbj_rc mbj_maildir_list_write(const struct mbj_sys *sys, const char *dir,
				   const char *name, struct mbj_bytes text,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* The lists, behind the messages.  Durability: all of the folder. */
enum mbj_rc mbj_maildir_folder_end(const struct mbj_sys *sys, const char *dir,
				   struct mbj_bytes uidlist,
				   struct mbj_bytes keywords,
				   struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
