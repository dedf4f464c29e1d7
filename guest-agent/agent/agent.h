/* clusnap-agent: what its files share.
 *
 * Theory of operation: session.c.  One thread, one poll loop (clusnap-agent.c); nothing but opening
 * and answering files of the guest itself blocks. */
#ifndef CS_AGENT_AGENT_H
#define CS_AGENT_AGENT_H

#include "guest-agent/agent/protocol.h"
#include "guest-agent/participant/protocol.h"

#include <ifaddrs.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENT_PARTICIPANTS 64 /* that can be registered at a time */
#define AGENT_HOOKS 64        /* hooks that are run at most */
#define AGENT_TEXT 384        /* bytes of a message to the host */

/* CLOCK_MONOTONIC in ms, from 1: 0 stands for never. */
int64_t agent_now (void);
void agent_log (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* ---- request.c: what the host asks for ---- */

typedef enum
{
  AGENT_HELLO,
  AGENT_PING,
  AGENT_INFO,
  AGENT_QUIESCE,
  AGENT_RESUME,
  AGENT_ASK_DEPENDENCIES,
  AGENT_AFTER_RESTORE,
} AgentVerb;

typedef struct
{
  AgentVerb verb;
  uint64_t id;
  uint64_t version;
  int64_t deadline, hold; /* ms, at most CS_AGENT_HOLD_MAX */
  uint64_t time;          /* ns since 1970; 0: not said */
  bool has_entropy;
  unsigned char entropy[CS_AGENT_ENTROPY];
  bool has_identity;
  CsParticipantIdentity identity;
} AgentRequest;

/* Takes @line (@length bytes of any content) apart.  False when it is no request; then @reason says
 * why, and @request->id is the id if it has one, else 0. */
bool agent_request_parse (const char *line, size_t length, AgentRequest *request,
                          const char **reason);

/* ---- port.c: the virtio-serial port ---- */

typedef struct
{
  const char *path;
  int fd;
  bool is_socket;
  bool connected;     /* the host has its end open */
  int64_t look_at;    /* when to look again whether it has */
  int64_t late_until; /* connected, but Linux does not know yet; 0: it does */
  CsLineBuffer in;
  char *out; /* of CS_AGENT_ANSWER_MAX bytes */
  size_t out_length;
  bool skipping; /* the rest of a line that is too long */
} AgentPort;

bool agent_port_open (AgentPort *port, const char *path);
void agent_port_close (AgentPort *port);
/* Fills @entry for poll. */
void agent_port_poll (const AgentPort *port, struct pollfd *entry);
/* After poll, a SIGIO, or when @look_at has come.  Sets *@opened and *@closed when the host did
 * that; first @closed is to be acted upon. */
void agent_port_work (AgentPort *port, short revents, bool *opened, bool *closed);
/* The next line that has come. */
bool agent_port_line (AgentPort *port, const char **line, size_t *length);
/* Queues @text and \n; drops it when the host is not there, or does not read what came before. */
void agent_port_send (AgentPort *port, const char *text);

/* ---- registry.c: the participants ---- */

typedef enum
{
  MEMBER_FREE,
  MEMBER_NEW, /* has not said hello */
  MEMBER_RUNNING,
  MEMBER_ASKED, /* prepare was sent */
  MEMBER_READY,
} MemberState;

typedef struct
{
  MemberState state;
  int fd;
  bool telling; /* its dependencies are asked for */
  char name[CS_PARTICIPANT_NAME];
  CsLineBuffer in;
  char lines[2 * CS_PARTICIPANT_LINE];
} Member;

typedef struct
{
  int fd; /* listens */
  const char *path;
  uint64_t question; /* id of the last prepare or dependencies */
  bool asks;         /* between prepare and resume: who registers then is asked, too */
  int64_t deadline;  /* of that prepare, ms that were given */
  CsParticipantIdentity identity;
  Member members[AGENT_PARTICIPANTS];
  /* What the last question brought. */
  char veto[AGENT_TEXT]; /* "": none */
  CsParticipantDependency dependencies[CS_PARTICIPANT_VMS];
  size_t n_dependencies;
  bool too_many;
} Registry;

/* The registry takes AGENT_PARTICIPANTS + 1 entries of poll. */
#define AGENT_REGISTRY_ENTRIES (AGENT_PARTICIPANTS + 1)

bool agent_registry_open (Registry *registry, const char *path);
void agent_registry_close (Registry *registry);
void agent_registry_poll (const Registry *registry, struct pollfd *entries);
void agent_registry_work (Registry *registry, const struct pollfd *entries);
/* How many are in state @least or a later one, MEMBER_RUNNING: all that are registered. */
size_t agent_registry_count (const Registry *registry, MemberState least);
/* Asks all to prepare within @deadline ms. */
void agent_registry_prepare (Registry *registry, int64_t deadline);
/* The name of one that has not answered yet, or NULL. */
const char *agent_registry_waits_for (const Registry *registry);
void agent_registry_resume (Registry *registry, bool restored);
void agent_registry_ask_dependencies (Registry *registry);
const char *agent_registry_tells (const Registry *registry); /* as waits_for */
/* Tells those that are registered who they are; they need not have prepared. */
void agent_registry_set_identity (Registry *registry, const CsParticipantIdentity *identity);

/* ---- hooks.c ---- */

typedef struct
{
  const char *directory;
  char *names[AGENT_HOOKS];
  int count;
  int next;    /* the one to be started next */
  int step;    /* 1, or -1: backwards */
  int started; /* how many have been in this run */
  pid_t pid;   /* of the one that runs; 0: none */
  int64_t deadline;
  const char *event;
  bool active;
  char failure[AGENT_TEXT]; /* "": none failed */
} Hooks;

/* Starts the first of the directory's hooks with the argument @event ("quiesce", "resume",
 * "after-restore"); @backwards: in the reverse order.  Those that are not done at @deadline are
 * killed. */
void agent_hooks_run (Hooks *hooks, const char *event, bool backwards, int64_t deadline,
                      const CsParticipantIdentity *identity);
/* After SIGCHLD, or when the deadline has come: goes on.  True when the run has just ended. */
bool agent_hooks_work (Hooks *hooks, const CsParticipantIdentity *identity);
/* Kills what runs. */
void agent_hooks_stop (Hooks *hooks);
/* The same, and frees what @hooks holds. */
void agent_hooks_clear (Hooks *hooks);

/* ---- after-restore.c, announce.c, announce-ipv6.c ---- */

/* Sets the wall clock to @ns since 1970.  NULL, or why not. */
const char *agent_set_clock (uint64_t ns);
/* Mixes @entropy in and makes the kernel use it at once.  NULL, or why not. */
const char *agent_reseed (const unsigned char *entropy, size_t length);
/* Tells the neighbours on every Ethernet interface that is up where our addresses are; returns how
 * many addresses. */
int agent_announce (void);
/* The IPv6 ones; @fd: a socket of AF_PACKET, @all: of getifaddrs. */
int agent_announce_ipv6 (int fd, const struct ifaddrs *all);
/* False for what is no Ethernet interface that is up and speaks ARP. */
bool agent_link_address (const struct ifaddrs *all, const char *name, struct sockaddr_ll *address);

/* ---- session.c ---- */

typedef enum
{
  SESSION_RUNNING,
  SESSION_PREPARING, /* participants were asked */
  SESSION_HOOKING,   /* they are ready, the hooks run */
  SESSION_QUIESCED,
  SESSION_RESUMING,  /* the hooks run backwards */
  SESSION_RESTORING, /* the hooks of after-restore run */
} SessionState;

typedef struct
{
  bool active;
  uint64_t id;
  AgentVerb verb;
  int64_t deadline;
} Pending;

typedef struct
{
  AgentPort port;
  Registry registry;
  Hooks hooks;
  bool sets_clock;

  SessionState state;
  bool restored;        /* what resumes now was taken back */
  bool held;            /* quiesced without a break since the host asked */
  int64_t deadline;     /* of PREPARING and HOOKING */
  int64_t hold_until;   /* QUIESCED ends by itself */
  int64_t grace_until;  /* the same, the host being gone; 0: it is there */
  bool undoes_hooks;    /* those of quiesce have been started */
  Pending pending;      /* the request to be answered */
  AgentRequest restore; /* of RESTORING */
  const char *clock, *random;
  int announced;
} Session;

/* The host has opened or closed its end. */
void agent_session_opened (Session *session);
void agent_session_closed (Session *session);
/* A line of the host. */
void agent_session_line (Session *session, const char *line, size_t length);
/* Goes on where something has come or some time is over. */
void agent_session_work (Session *session);
/* The daemon ends: everybody goes on. */
void agent_session_end (Session *session);
/* When agent_session_work must be called again at the latest; 0: never. */
int64_t agent_session_deadline (const Session *session);

#endif
