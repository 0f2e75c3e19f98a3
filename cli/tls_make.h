/*
 * Making a small CA of one store, and what each host of its replication needs
 * (tls.h):
 *
 *	KEYS/ca.key, KEYS/ca.crt	the CA; its key stays where it was made
 *	KEYS/NAME/			a directory to be copied to a host
 *
 * Keys are of P-256.  Nothing is ever written over.  A host's directory is
 * whole or not there, whatever fails or is killed: until then it is KEYS/.NAME.
 * What failed is in nobody's way.  What is made is valid from two days ago on:
 * clocks differ.
 */
#ifndef MBJ_CLI_TLS_MAKE_H
#define MBJ_CLI_TLS_MAKE_H

#include "tls_name.h"

#define TLS_CA_KEY_NAME "ca.key"

enum { TLS_DAYS_USUAL = 3650, TLS_DAYS_MAX = 36500 };

/*
 * keys is made where it is not there.  Durability: on disk.
 * Returns: MBJ_EEXISTS, MBJ_EFENCED (keys is open to others), MBJ_EIO.
 */
enum mbj_rc tls_make_ca(const char *keys, struct mbj_id lineage, unsigned days,
			struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * roles: bits 1 << enum tls_role; name is good.  Durability: on disk.
 * Returns: MBJ_ENOTFOUND (no CA), MBJ_EINVALID (none of ours), MBJ_EEXISTS.
 */
enum mbj_rc tls_make_host(const char *keys, const char *name, unsigned roles,
			  unsigned days, struct mbj_error *err) MBJ_MUST_CHECK;

#endif
