/* Between the engine's files. */
#ifndef CS_DSM_ENGINE_PRIVATE_H
#define CS_DSM_ENGINE_PRIVATE_H

#include "guest-agent/dsm/engine.h"

#define BIT(node) (UINT64_C (1) << (node))
#define NODE_NONE 0xffffu

/* What this node has of a page. */
enum
{
  COPY_NONE,
  COPY_READ,
  COPY_WRITE,
};

typedef struct
{
  uint8_t copy;
  bool present; /* in memory; else it is zeros that nobody has touched */
  bool wants_read, wants_write;
  bool asked;         /* a request is under way, or waits to be sent */
  bool held;          /* the time of its grant counts */
  bool deferred;      /* a recall or invalidation waits for that time */
  uint8_t defer_kind; /* RECALL or INVALIDATE */
  uint8_t defer_flags;
  int64_t granted; /* microseconds */
} Copy;

/* What a home knows.  All zeros: it has the page itself and nobody else ever had. */
enum
{
  PAGE_HOME,   /* this node writes it */
  PAGE_SHARED, /* `sharers` read it, this node among them */
  PAGE_AWAY,   /* `owner` writes it */
};

typedef struct Transaction Transaction;

typedef struct
{
  uint8_t state;
  bool listed;  /* in the engine's list of pages whose requests wait for a thaw */
  uint8_t next; /* whose turn it is */
  uint16_t owner;
  uint16_t writer; /* who wrote it last, + 1; 0: nobody */
  uint64_t writer_interval;
  uint64_t sharers;
  uint64_t asked_read, asked_write;
  Transaction *busy;
} Page;

struct Transaction
{
  Transaction *next, **link; /* engine->active */
  uint32_t page;
  unsigned requester;
  bool write;
  bool give_content; /* the requester has no copy */
  uint8_t content;   /* CS_WIRE_NOTHING until it is known */
  uint64_t waiting;  /* whose answers are missing */
  uint8_t bytes[CS_DSM_PAGE];
};

typedef struct
{
  uint64_t asked;
  bool taken, writer_known;
  uint16_t holder, last_holder; /* last: whom the next one depends on */
  uint64_t last_interval;
  uint8_t next;
  bool mine, mine_asked; /* this node's side */
} Lock;

typedef struct
{
  uint64_t arrived, owed; /* owed: who has not been told yet that all have arrived */
  uint64_t arriving[CS_DSM_NODES];
  uint64_t passed[CS_DSM_NODES];
  bool mine; /* this node waits */
} Barrier;

/* A request of this node that must not be sent now. */
typedef struct
{
  uint8_t kind;
  uint32_t id;
} Blocked;

typedef struct Loop Loop; /* a frame to this node itself */

/* One growing list of numbers or requests. */
typedef struct
{
  void *items;
  size_t n, room;
} List;

struct CsEngine
{
  /* immutable */
  unsigned node, nodes;
  uint32_t pages, block;
  int64_t hold;
  const CsEngineOutside *outside;
  void *data;

  Copy *copies;
  Page *directory; /* only those of which this node is the home are used */
  Lock locks[CS_DSM_LOCKS];
  Barrier barriers[CS_DSM_BARRIERS + 1]; /* the last: close */

  Transaction *active;
  unsigned n_active;
  Loop *first_loop, **last_loop;
  bool looping;
  int64_t now;
  List deferred; /* uint32_t: pages */
  List waiting;  /* uint32_t: pages whose requests wait for a thaw */
  List blocked;  /* Blocked */

  /* freeze.c */
  uint64_t frozen;        /* nodes to which nothing new goes; with this node: to none */
  uint64_t owed;          /* who waits for FROZEN */
  uint64_t answered;      /* who said FROZEN to this node's FREEZE */
  uint32_t freeze_number; /* of this node's last FREEZE */
  uint32_t their_number[CS_DSM_NODES];

  /* dependencies.c; intervals + 1, 0: no dependency */
  uint64_t interval;
  char names[CS_DSM_NODES][CS_DSM_NAME];
  uint64_t direct[CS_DSM_NODES], merged[CS_DSM_NODES];
  uint64_t told[CS_DSM_NODES][CS_DSM_NODES]; /* of `merged`, to each peer */

  CsEngineCounts counts;
  char violation[200];
};

/* engine.c */
void engine_send (CsEngine *engine, unsigned to, CsFrame *frame);
void engine_send_id (CsEngine *engine, unsigned to, uint8_t kind, uint8_t flags, uint32_t id);
/* As engine_send_id, or later when @to is frozen. */
void engine_request (CsEngine *engine, unsigned to, uint8_t kind, uint32_t id);
bool engine_violation (CsEngine *engine, unsigned from, const char *what, uint32_t id);
void *list_add (List *list, size_t size);
unsigned engine_turn (uint64_t mask, unsigned first, unsigned nodes);

/* directory.c: a home's side of pages */
bool directory_ask (CsEngine *engine, unsigned from, uint32_t page, bool write);
bool directory_answer (CsEngine *engine, unsigned from, const CsFrame *frame);
void directory_retry (CsEngine *engine);

/* copies.c: this node's copies */
bool copies_receive (CsEngine *engine, unsigned from, const CsFrame *frame);
void copies_tick (CsEngine *engine);
int64_t copies_due (CsEngine *engine);
/* Puts a read copy here, if there is none. */
void copies_put (CsEngine *engine, uint32_t page, const uint8_t *content);
/* CS_WIRE_PAGE or CS_WIRE_ZEROS, and the bytes. */
uint8_t copies_content (CsEngine *engine, uint32_t page, uint8_t *bytes);

/* locks.c: locks and barriers, both sides */
bool locks_receive (CsEngine *engine, unsigned from, const CsFrame *frame);
void locks_retry (CsEngine *engine);

/* freeze.c */
bool freeze_receive (CsEngine *engine, unsigned from, const CsFrame *frame);
void freeze_settle (CsEngine *engine);
void freeze_release (CsEngine *engine); /* after a thaw */
/* May something new be sent to @to? */
bool freeze_allows (const CsEngine *engine, unsigned to);

/* dependencies.c */
void dependencies_stamp (CsEngine *engine, unsigned to, CsFrame *frame);
void dependencies_take (CsEngine *engine, unsigned from, const CsFrame *frame);
void dependencies_add (CsEngine *engine, unsigned node, uint64_t interval);

#endif
