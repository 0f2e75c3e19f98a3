/*
 * What a certificate says that it is for: a subject alternative name of type
 * URI,
 *
 *	mbj:LINEAGE/source/NAME		may serve the replicas of that store
 *	mbj:LINEAGE/replica/NAME	may follow it, registered as NAME
 *	mbj:LINEAGE/ca/NAME		issues those (others need not say it)
 *
 * One has at most one of each role, and may have both.
 */
#ifndef MBJ_CLI_TLS_NAME_H
#define MBJ_CLI_TLS_NAME_H

#include <openssl/x509.h>

#include <mbj/error.h>

/* X(name, word) */
#define TLS_ROLE_MAP(X)       \
	X(SOURCE, "source")   \
	X(REPLICA, "replica") \
	X(CA, "ca")

enum tls_role {
#define X(name, word) TLS_##name,
	TLS_ROLE_MAP(X)
#undef X
};

enum {
	TLS_NAME_MAX = 64, /* bytes: letters, digits, . - _ */
	TLS_URI_SIZE = 4 + 32 + 1 + 7 + 1 + TLS_NAME_MAX + 1,
	TLS_SUBJECT_SIZE = 160,
};

struct tls_name {
	struct mbj_id lineage;
	char name[TLS_NAME_MAX + 1];
};

const char *tls_role_word(enum tls_role role);
bool tls_name_is_good(const char *name);
void tls_uri_print(const struct tls_name *name, enum tls_role role,
		   char text[TLS_URI_SIZE]);
/* The one that certificate has for role; false: none, or several. */
bool tls_name_find(const X509 *certificate, enum tls_role role,
		   struct tls_name *ret_name);
/* What people know it by: its first URI, else its subject; for a terminal. */
void tls_subject_print(const X509 *certificate, char text[TLS_SUBJECT_SIZE]);

#endif
