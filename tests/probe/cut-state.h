/* The state of one guest's cut probe, as it says it on its serial port. */
#ifndef CS_TESTS_CUT_STATE_H
#define CS_TESTS_CUT_STATE_H

#include <glib.h>
#include <json.h>
#include <stdbool.h>

#define CUT_NODES_MAX 8
#define CUT_DISKS_MAX 6

typedef struct
{
  bool known; /* false for the node itself */
  guint64 tcp_sent, tcp_received, udp_sent, udp_received;
  guint64 lost;    /* UDP messages */
  guint64 skipped; /* TCP messages, when a connection was made anew */
  guint64 resets;
  bool connected;
} CutPeer;

typedef struct
{
  char *name;
  guint64 direct, buffered, durable;
} CutDisk;

typedef struct
{
  guint node, nodes;
  char *run; /* names the start of the program */
  guint64 uptime;
  guint64 violations;
  char *first; /* violation, or NULL */
  guint64 clock[CUT_NODES_MAX];
  CutPeer peers[CUT_NODES_MAX];
  guint disk_count;
  CutDisk disks[CUT_DISKS_MAX];
  guint64 table_updates;
  char *reply;         /* the request it answers, or NULL */
  json_object *object; /* all of it */
} CutState;

void cut_state_free (CutState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CutState, cut_state_free)

/* The text of a serial line without its checksum; NULL when the line is torn or damaged. */
char *cut_line_check (const char *line);

/* From the JSON object of a STATE line.  Errors: INVALID. */
CutState *cut_state_parse (json_object *object, GError **error);

/* Files of states: a JSON array.  Elements: CutState. */
bool cut_states_save (GPtrArray *states, const char *path, GError **error);
GPtrArray *cut_states_load (const char *path, GError **error);

#endif
