/* The DSM's protocol as a state machine: no I/O, no clock, no threads.
 *
 * Theory of operation
 *
 * Every page, lock and barrier has a home, a node that decides about it.  A node that lacks a page
 * asks the home (READ, WRITE); the home calls it in from who has it and gives it on:
 *
 *     read of a page that X writes            write of a page that A, B read
 *     R      home       X                     W      home      A  B
 *     |-READ-->|        |                     |-WRITE->|       |  |
 *     |        |-RECALL>| (write-protect)     |        |-INVALIDATE->
 *     |        |<RECALLED                     |        |<INVALIDATED-
 *     |<-GRANT-|                              |<-GRANT-|  (writable; content unless W has a copy)
 *
 * One transaction per page at a time, the others wait as bits in a mask, served in turn.  A write
 * is granted when all other copies are known to be gone: one writer or many readers at every
 * moment, hence sequential consistency. While several read, the home is one of them; so it can
 * always answer with its own copy.  A home's own copy is asked and recalled like any other, through
 * a queue instead of a connection.  Between two nodes frames come in order and once; so the home
 * knows what its peers have, and whatever does not fit is a violation, not a race.
 *
 * A page stays for a moment where it was granted (cs_engine_tick): else two writers could take it
 * from each other forever before either has used it.
 *
 * Freezing (prepare).  FREEZE asks each peer to start nothing that sends here; the peer first
 * completes what it has under way with this node, then says FROZEN, the last frame in its channel.
 * A node itself starts nothing from FREEZE to THAW: requests of the program wait at the sender,
 * those that came wait at the home.  It is ready when all peers said FROZEN, its own transactions
 * are complete and everything it sent is acknowledged: nothing is in flight to or from it.  It
 * works for one node alone (the others go on without it) and for all at once, in any order: what is
 * under way needs only answers, and these are never held back.
 *
 * Dependencies: dependencies.c.
 *
 * Not done: no copy is ever given back unasked, ownership stays when its node is idle, homes do not
 * move. */
#ifndef CS_DSM_ENGINE_H
#define CS_DSM_ENGINE_H

#include "guest-agent/dsm/wire.h"

typedef struct CsEngine CsEngine;

/* What the engine needs of the world.  All are called from within the engine's functions. */
typedef struct
{
  void (*send) (void *data, unsigned to, const CsFrame *frame); /* never to itself */
  /* The page gets @content (NULL: zeros); it was not there. */
  void (*install) (void *data, uint32_t page, const uint8_t *content, bool writable);
  void (*allow) (void *data, uint32_t page);                  /* writing, from now on */
  void (*protect) (void *data, uint32_t page);                /* reading only */
  void (*drop) (void *data, uint32_t page);                   /* not there any more */
  void (*read) (void *data, uint32_t page, uint8_t *content); /* it is there */
  void (*wake) (void *data, uint32_t page);                   /* who waits for it looks again */
  void (*locked) (void *data, unsigned lock);
  void (*passed) (void *data, unsigned barrier);
} CsEngineOutside;

/* @block: consecutive pages with one home; @hold: microseconds, 0 for none.  NULL: no memory. */
CsEngine *cs_engine_new (unsigned node, unsigned nodes, uint32_t pages, uint32_t block,
                         unsigned hold, const CsEngineOutside *outside, void *data);
void cs_engine_free (CsEngine *engine);

unsigned cs_engine_home (const CsEngine *engine, uint32_t page);

/* The program needs @page.  Served or woken later, or at once. */
void cs_engine_fault (CsEngine *engine, uint32_t page, bool write);

/* Has the program what it needs of @page, without asking anybody? */
bool cs_engine_has (const CsEngine *engine, uint32_t page, bool write);
/* Does it wait for @page? */
bool cs_engine_waits (const CsEngine *engine, uint32_t page);

/* Ends in outside.locked.  Each lock once at a time: further threads of this node wait at the
 * caller's. */
void cs_engine_lock (CsEngine *engine, unsigned lock);
bool cs_engine_unlock (CsEngine *engine, unsigned lock); /* false: not held */
void cs_engine_arrive (CsEngine *engine, unsigned barrier);

/* A sequenced frame from @from.  False: it does not fit; cs_engine_violation says what. */
bool cs_engine_receive (CsEngine *engine, unsigned from, const CsFrame *frame);
const char *cs_engine_violation (const CsEngine *engine);

/* A peer in @interval acknowledged frames about data. */
void cs_engine_acknowledged (CsEngine *engine, unsigned peer, uint64_t interval);

/* The time, in microseconds of any clock; does what has become due and returns when to call again
 * (microseconds from now, -1: nothing waits). */
int64_t cs_engine_tick (CsEngine *engine, int64_t now);

/* ---- snapshots ---- */
void cs_engine_freeze (CsEngine *engine);
void cs_engine_thaw (CsEngine *engine);
bool cs_engine_is_frozen (const CsEngine *engine);
/* Frozen, and nothing under way that the engine knows of; the caller adds that all it sent is
 * acknowledged. */
bool cs_engine_is_still (const CsEngine *engine);
unsigned cs_engine_transfers (const CsEngine *engine);

/* ---- dependencies: dependencies.c ---- */
void cs_engine_identify (CsEngine *engine, const char *vm,
                         uint64_t interval); /* @vm NULL: as before */
void cs_engine_name (CsEngine *engine, unsigned node, const char *vm);
const char *cs_engine_vm (const CsEngine *engine, unsigned node);
uint64_t cs_engine_interval (const CsEngine *engine);
size_t cs_engine_dependencies (const CsEngine *engine, int which, CsDsmDependency *dependencies,
                               size_t n);

typedef struct
{
  uint64_t read_faults, write_faults, pages_in, pages_out, invalidated;
} CsEngineCounts;

void cs_engine_counts (const CsEngine *engine, CsEngineCounts *counts);

#endif
