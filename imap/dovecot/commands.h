/*
 * The commands of doveadm that this module has.  See commands.c.
 */
#ifndef MBJ_DOVECOT_COMMANDS_H
#define MBJ_DOVECOT_COMMANDS_H

/* What <config.h> of Dovecot says of its own compiler is not ours. */
#include <lib.h>

#include <doveadm.h>

extern const struct doveadm_cmd_ver2 mbj_command_apply;
extern const struct doveadm_cmd_ver2 mbj_command_capture;
extern const struct doveadm_cmd_ver2 mbj_command_drain;
extern const struct doveadm_cmd_ver2 mbj_command_spool;
extern const struct doveadm_cmd_ver2 mbj_command_verify;

#endif
