/*
 * libmbj: all public headers.
 *
 * A program opens a store (mbj/store.h), submits edits (mbj/edit.h), reads the
 * state (mbj/state.h); a replica replays a journal (mbj/replay.h).
 */
#ifndef MBJ_MBJ_H
#define MBJ_MBJ_H

#include <mbj/apply.h>
#include <mbj/attribute.h>
#include <mbj/backup.h>
#include <mbj/backup_mark.h>
#include <mbj/client.h>
#include <mbj/collect.h>
#include <mbj/diff.h>
#include <mbj/doubt.h>
#include <mbj/edit.h>
#include <mbj/engine.h>
#include <mbj/error.h>
#include <mbj/group.h>
#include <mbj/intent.h>
#include <mbj/jmap.h>
#include <mbj/log.h>
#include <mbj/name.h>
#include <mbj/op.h>
#include <mbj/open.h>
#include <mbj/plan.h>
#include <mbj/quarantine.h>
#include <mbj/received.h>
#include <mbj/repair.h>
#include <mbj/replay.h>
#include <mbj/replicas.h>
#include <mbj/service.h>
#include <mbj/snapshot.h>
#include <mbj/state.h>
#include <mbj/status.h>
#include <mbj/store.h>
#include <mbj/stream.h>
#include <mbj/tree.h>
#include <mbj/trim.h>
#include <mbj/upstream.h>
#include <mbj/utf7.h>
#include <mbj/verify.h>
#include <mbj/version.h>

#endif
