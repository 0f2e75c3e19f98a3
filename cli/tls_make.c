/*
 * Making keys and certificates; see tls_make.h.
 */
#include "tls_make.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <mbj/memory.h>
#include <mbj/sys.h>

#include "tls.h"
#include "tls_file.h"

enum { SERIAL_SIZE = 16, BACK_DAYS = 2, DAY_S = 86400, ALT_SIZE = 512 };

/* Somebody else's keys are made in no time. */
enum { TURN_MS = 60000, LOOK_MS = 20 };

/* Whose, by whom, for what. */
struct order {
	const char *subject;
	const char *alternatives; /* URI:...,URI:... */
	bool is_ca;
	unsigned days;
	X509 *issuer; /* NULL: itself */
	EVP_PKEY *issuer_key;
};

static enum mbj_rc openssl_bad(struct mbj_error *err, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return mbj_error_set(err, MBJ_EIO, "cannot make %s: %s", what,
			     why != NULL ? why : "OpenSSL does not say why");
}

/* ------------------------------------------------------------- certificates */

static bool extension_add(X509 *certificate, X509 *issuer, int nid,
			  const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool is_added;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	is_added = extension != NULL &&
		   X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return is_added;
}

static bool extensions_add(X509 *certificate, X509 *issuer,
			   const struct order *order)
{
	return extension_add(certificate, issuer, NID_basic_constraints,
			     order->is_ca ? "critical,CA:TRUE,pathlen:0"
					  : "critical,CA:FALSE") &&
	       extension_add(certificate, issuer, NID_key_usage,
			     order->is_ca ? "critical,keyCertSign,cRLSign"
					  : "critical,digitalSignature") &&
	       extension_add(certificate, issuer, NID_subject_key_identifier,
			     "hash") &&
	       extension_add(certificate, issuer, NID_authority_key_identifier,
			     "keyid") &&
	       extension_add(certificate, issuer, NID_subject_alt_name,
			     order->alternatives);
}

static bool serial_set(X509 *certificate)
{
	unsigned char bytes[SERIAL_SIZE];
	BIGNUM *number = NULL;
	bool is_set;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	is_set = number != NULL &&
		 BN_to_ASN1_INTEGER(number,
				    X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return is_set;
}

/* No later than who issued it. */
static bool time_set(X509 *certificate, const struct order *order)
{
	ASN1_TIME *end = X509_getm_notAfter(certificate);

	if (X509_gmtime_adj(X509_getm_notBefore(certificate),
			    -(long)BACK_DAYS * DAY_S) == NULL ||
	    X509_time_adj_ex(end, (int)order->days, 0, NULL) == NULL)
		return false;
	if (order->issuer != NULL &&
	    ASN1_TIME_compare(end, X509_get0_notAfter(order->issuer)) > 0)
		return X509_set1_notAfter(certificate,
					  X509_get0_notAfter(order->issuer)) ==
		       1;
	return true;
}

static bool certificate_fill(X509 *certificate, EVP_PKEY *key,
			     const struct order *order)
{
	X509 *issuer = order->issuer != NULL ? order->issuer : certificate;
	X509_NAME *subject = X509_get_subject_name(certificate);

	return X509_set_version(certificate, X509_VERSION_3) == 1 &&
	       serial_set(certificate) && time_set(certificate, order) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
					  (const unsigned char *)order->subject,
					  -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate,
				    X509_get_subject_name(issuer)) == 1 &&
	       X509_set_pubkey(certificate, key) == 1 &&
	       extensions_add(certificate, issuer, order) &&
	       X509_sign(certificate,
			 order->issuer_key != NULL ? order->issuer_key : key,
			 EVP_sha256()) > 0;
}

/* A new key and its certificate.  Ownership: the caller's. */
static enum mbj_rc order_carry_out(const struct order *order,
				   EVP_PKEY **ret_key, X509 **ret_certificate,
				   struct mbj_error *err)
{
	EVP_PKEY *key;
	X509 *certificate;

	ERR_clear_error();
	key = EVP_EC_gen("P-256");
	certificate = X509_new();
	if (key != NULL && certificate != NULL &&
	    certificate_fill(certificate, key, order)) {
		*ret_key = key;
		*ret_certificate = certificate;
		return MBJ_OK;
	}
	EVP_PKEY_free(key);
	X509_free(certificate);
	return openssl_bad(err, "a certificate");
}

/* -------------------------------------------------------------------- files */

static enum mbj_rc bytes_write(const char *dir, const char *name,
			       struct mbj_bytes bytes, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, name, err);

	if (rc == MBJ_OK)
		rc = mbj_file_open(mbj_sys_posix(), path,
				   O_WRONLY | O_CREAT | O_EXCL, &file, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_write(&file, 0, bytes.p, bytes.n, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync_all(&file, err);
	mbj_file_close(&file);
	/* Half a key is in nobody's way. */
	if (rc < 0)
		(void)!mbj_file_remove(mbj_sys_posix(), path, NULL);
	return rc;
}

/* One of both, as PEM. */
static enum mbj_rc pem_write(const char *dir, const char *name,
			     const EVP_PKEY *key, const X509 *certificate,
			     struct mbj_error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool is_good = bio != NULL;
	enum mbj_rc rc = MBJ_OK;
	char *bytes = NULL;
	long n = 0;

	if (is_good && key != NULL)
		is_good = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0,
						   NULL, NULL) == 1;
	if (is_good && certificate != NULL)
		is_good = PEM_write_bio_X509(bio, certificate) == 1;
	if (is_good)
		n = BIO_get_mem_data(bio, &bytes);
	if (n <= 0)
		rc = openssl_bad(err, "a file");
	if (rc == MBJ_OK)
		rc = bytes_write(dir, name, mbj_bytes_make(bytes, (size_t)n),
				 err);
	if (n > 0)
		OPENSSL_cleanse(bytes, (size_t)n);
	BIO_free(bio);
	return rc;
}

static enum mbj_rc absent_check(const char *dir, const char *name,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, name, err);

	if (rc == MBJ_OK && mbj_path_exists(mbj_sys_posix(), path))
		rc = mbj_error_set(err, MBJ_EEXISTS,
				   "%s is there already: nothing is made over "
				   "it",
				   path);
	return rc;
}

/* A directory for keys, made where it is not there. */
static enum mbj_rc keys_take(const char *keys, struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	enum mbj_rc rc = mbj_dir_make(sys, keys, err);
	mode_t mode = 0;
	uid_t uid;

	if (rc != MBJ_EEXISTS)
		return rc;
	if (sys->stat(sys->ctx, keys, &mode, &uid) != 0 || !S_ISDIR(mode))
		return mbj_error_set(err, MBJ_EINVALID, "%s is no directory",
				     keys);
	if ((mode & (S_IRWXG | S_IRWXO)) != 0)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is to have private keys, and is open "
				     "to others (mode %04o): chmod 700",
				     keys, (unsigned)mode & 07777);
	return MBJ_OK;
}

/*
 * Until nobody else makes keys there: two who did so for one host would take
 * each other's files away, and a key could stand beside another's certificate.
 * Given up by closing, or with the process.
 */
static enum mbj_rc keys_lock(const char *keys, struct mbj_file *ret_lock,
			     struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + TURN_MS;
	enum mbj_rc rc = mbj_file_open(mbj_sys_posix(), keys,
				       O_RDONLY | O_DIRECTORY, ret_lock, err);

	if (rc < 0)
		return rc;
	while ((rc = mbj_file_lock(ret_lock, err)) == MBJ_EBUSY &&
	       mbj_monotonic_ms() < until)
		(void)poll(NULL, 0, LOOK_MS);
	if (rc < 0)
		mbj_file_close(ret_lock);
	return rc;
}

static void name_remove(const char *dir, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];

	if (mbj_path_join(path, dir, name, NULL) == MBJ_OK)
		(void)!mbj_file_remove(mbj_sys_posix(), path, NULL);
}

/* Neither is there. */
static enum mbj_rc ca_write(const char *keys, const EVP_PKEY *key,
			    const X509 *certificate, struct mbj_error *err)
{
	enum mbj_rc rc = pem_write(keys, TLS_CA_KEY_NAME, key, NULL, err);

	if (rc < 0)
		return rc;
	rc = pem_write(keys, TLS_CA_NAME, NULL, certificate, err);
	/* A key that nobody knows yet is in the next one's way. */
	if (rc < 0)
		name_remove(keys, TLS_CA_KEY_NAME);
	return rc == MBJ_OK ? mbj_dir_sync(mbj_sys_posix(), keys, err) : rc;
}

enum mbj_rc tls_make_ca(const char *keys, struct mbj_id lineage, unsigned days,
			struct mbj_error *err)
{
	const struct tls_name name = {.lineage = lineage, .name = "ca"};
	char alternatives[ALT_SIZE] = "URI:";
	struct order order = {.subject = "mbj CA",
			      .alternatives = alternatives,
			      .is_ca = true,
			      .days = days};
	struct mbj_file lock = MBJ_FILE_CLOSED;
	X509 *certificate = NULL;
	EVP_PKEY *key = NULL;
	enum mbj_rc rc = keys_take(keys, err);

	tls_uri_print(&name, TLS_CA, alternatives + strlen(alternatives));
	if (rc == MBJ_OK)
		rc = keys_lock(keys, &lock, err);
	if (rc == MBJ_OK)
		rc = absent_check(keys, TLS_CA_KEY_NAME, err);
	if (rc == MBJ_OK)
		rc = absent_check(keys, TLS_CA_NAME, err);
	if (rc == MBJ_OK)
		rc = order_carry_out(&order, &key, &certificate, err);
	if (rc == MBJ_OK)
		rc = ca_write(keys, key, certificate, err);
	mbj_file_close(&lock);
	EVP_PKEY_free(key);
	X509_free(certificate);
	return rc;
}

/* -------------------------------------------------------------------- hosts */

/* The CA that was made here, and for which store. */
static enum mbj_rc ca_load(const char *keys, STACK_OF(X509) * *ret_ca,
			   EVP_PKEY **ret_key, struct tls_name *ret_name,
			   struct mbj_error *err)
{
	char what[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = tls_certificates_load(keys, TLS_CA_NAME, ret_ca, err);

	if (rc == MBJ_OK)
		rc = mbj_path_join(what, keys, TLS_CA_NAME, err);
	/* The first is the one that signs. */
	if (rc == MBJ_OK)
		rc = tls_time_check(what, sk_X509_value(*ret_ca, 0), err);
	if (rc == MBJ_OK)
		rc = tls_key_load(keys, TLS_CA_KEY_NAME, ret_key, err);
	if (rc < 0)
		return rc;
	if (!tls_name_find(sk_X509_value(*ret_ca, 0), TLS_CA, ret_name))
		return mbj_error_set(err, MBJ_EINVALID,
				     "%s/%s was not made by mbj keygen", keys,
				     TLS_CA_NAME);
	if (X509_check_private_key(sk_X509_value(*ret_ca, 0), *ret_key) != 1)
		return tls_file_bad(err, keys, TLS_CA_KEY_NAME,
				    "key of the certificate beside it");
	return MBJ_OK;
}

static void alternatives_print(const struct tls_name *name, unsigned roles,
			       char text[ALT_SIZE])
{
	static const enum tls_role all[] = {TLS_SOURCE, TLS_REPLICA};
	char uri[TLS_URI_SIZE];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if ((roles & 1U << all[i]) == 0)
			continue;
		tls_uri_print(name, all[i], uri);
		n += (size_t)snprintf(text + n, ALT_SIZE - n, "%sURI:%s",
				      n > 0 ? "," : "", uri);
	}
}

/* Also what a kill has left of it: nobody else is at it, by the lock. */
static void host_remove(const char *dir)
{
	const struct mbj_sys *sys = mbj_sys_posix();

	name_remove(dir, TLS_KEY_NAME);
	name_remove(dir, TLS_CERTIFICATE_NAME);
	name_remove(dir, TLS_CA_NAME);
	(void)sys->rmdir(sys->ctx, dir);
}

static enum mbj_rc host_fill(const char *dir, const EVP_PKEY *key,
			     const X509 *certificate, const X509 *ca,
			     struct mbj_error *err)
{
	enum mbj_rc rc = mbj_dir_make(mbj_sys_posix(), dir, err);

	if (rc == MBJ_OK)
		rc = pem_write(dir, TLS_KEY_NAME, key, NULL, err);
	if (rc == MBJ_OK)
		rc = pem_write(dir, TLS_CERTIFICATE_NAME, NULL, certificate,
			       err);
	if (rc == MBJ_OK)
		rc = pem_write(dir, TLS_CA_NAME, NULL, ca, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(mbj_sys_posix(), dir, err);
	return rc;
}

/*
 * All that a host needs, in a directory of its own, which has its name once all
 * of it is there.  No host's name begins with a dot.
 */
static enum mbj_rc host_write(const char *keys, const char *name,
			      const EVP_PKEY *key, const X509 *certificate,
			      const X509 *ca, struct mbj_error *err)
{
	char hidden[TLS_NAME_MAX + 2];
	char dir[MBJ_PATH_TEXT_MAX];
	char temp[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = absent_check(keys, name, err);

	(void)snprintf(hidden, sizeof(hidden), ".%s", name);
	if (rc == MBJ_OK)
		rc = mbj_path_join(dir, keys, name, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(temp, keys, hidden, err);
	if (rc < 0)
		return rc;
	host_remove(temp);
	rc = host_fill(temp, key, certificate, ca, err);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(mbj_sys_posix(), temp, dir, err);
	if (rc < 0)
		host_remove(temp);
	return rc == MBJ_OK ? mbj_dir_sync(mbj_sys_posix(), keys, err) : rc;
}

enum mbj_rc tls_make_host(const char *keys, const char *name, unsigned roles,
			  unsigned days, struct mbj_error *err)
{
	char alternatives[ALT_SIZE] = "";
	struct order order = {.subject = name,
			      .alternatives = alternatives,
			      .days = days};
	struct tls_name own = {.name = ""};
	STACK_OF(X509) *ca = NULL;
	EVP_PKEY *ca_key = NULL;
	EVP_PKEY *key = NULL;
	struct mbj_file lock = MBJ_FILE_CLOSED;
	X509 *certificate = NULL;
	enum mbj_rc rc = keys_lock(keys, &lock, err);

	if (rc == MBJ_OK)
		rc = ca_load(keys, &ca, &ca_key, &own, err);
	memcpy(own.name, name, strlen(name) + 1);
	alternatives_print(&own, roles, alternatives);
	if (rc == MBJ_OK) {
		order.issuer = sk_X509_value(ca, 0);
		order.issuer_key = ca_key;
		rc = order_carry_out(&order, &key, &certificate, err);
	}
	if (rc == MBJ_OK)
		rc = host_write(keys, name, key, certificate, order.issuer,
				err);
	mbj_file_close(&lock);
	sk_X509_pop_free(ca, X509_free);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	X509_free(certificate);
	return rc;
}
