/* The options of the CLI: one table for all commands; a command names those it takes. */
#ifndef CS_COORD_CLI_OPTIONS_H
#define CS_COORD_CLI_OPTIONS_H

#include <glib.h>
#include <stdbool.h>

/* X (symbol, long name, short name or 0, argument or NULL, what it does) */
// clang-format off
#define CS_OPTION_TABLE(X)                                                                         \
  X (FORMAT, "format", 'f', "table|json|value|dot", "how to print the result (default: "      \
     "table); dot, a graph for Graphviz, is what deps and a dry run of recover can print")          \
  X (COLUMN, "column", 'c', "NAME", "print only this column; may be given several times")          \
  X (SOCKET, "socket", 0, "PATH", "socket of clusnapd (default: $CLUSNAP_SOCKET or "               \
     "/run/clusnap/clusnapd.sock)")                                                                \
  X (STORE, "store", 0, "PATH", "directory of the store (default: $CLUSNAP_STORE, the cluster's, " \
     "or /var/lib/clusnap/store)")                                                                 \
  X (STATE_DIR, "state-dir", 0, "PATH", "directory that holds the clusters (default: "             \
     "$CLUSNAP_STATE_DIR or /var/lib/clusnap)")                                                    \
  X (QUIET, "quiet", 'q', NULL, "print no progress")                                               \
  X (HELP, "help", 'h', NULL, "print this help")                                                   \
  X (VERSION, "version", 'V', NULL, "print the version")                                           \
  X (FILE, "file", 0, "FILE", "take the cluster from this YAML file")                              \
  X (URI, "uri", 0, "URI", "libvirt connection of the DOMAINs (default: qemu:///system)")          \
  X (QMP, "qmp", 0, "VM=PATH", "add a VM by the QMP socket of its QEMU; may be given several "     \
     "times")                                                                                      \
  X (PAUSE_DEADLINE, "pause-deadline", 0, "TIME", "resume the guests and give up when they stand " \
     "for so long, as 2s or 500ms (default: the cluster's, or 2s)")                                \
  X (QUIESCE_DEADLINE, "quiesce-deadline", 0, "TIME", "how long the guests' agents may take to "    \
     "prepare, as 2s or 500ms (default: 2s)")                                                      \
  X (NO_QUIESCE, "no-quiesce", 0, NULL, "do not ask the guests' agents")                           \
  X (DRY_RUN, "dry-run", 0, NULL, "only tell what would be done")                                 \
  X (EAGER, "eager", 0, NULL, "load all memory before the VMs run")                                \
  X (FILL_RATE, "fill-rate", 0, "MIB/S", "fill the memory of each VM, and each of its disks, at "   \
     "most so fast, 0: as fast as possible (default: memory slower while the guest waits for "     \
     "pages)")                                                                                     \
  X (VM, "vm", 0, "VM", "only this VM; may be given several times")                                \
  X (NO_WAIT, "no-wait", 0, NULL, "end when the VMs run; clusnapd goes on filling their memory")  \
  X (CLONE, "clone", 0, "NAME", "start them as a new cluster NAME beside those that run, with "    \
     "disks and networks of its own")                                                              \
  X (COUNT, "count", 0, "N", "with --clone: start N of them, NAME-1 to NAME-N")                    \
  X (DIRECTORY, "directory", 0, "DIR", "with --clone: keep its files in DIR/NAME (default: "       \
     "/var/lib/clusnap/clones/NAME)")                                                              \
  X (PURGE, "purge", 0, NULL, "of a clone: end its VMs and remove its disks, networks and files "  \
     "as well")                                                                                    \
  X (SET_TIME, "set-time", 0, NULL, "set the guests' clocks to the host's time, by their guest "    \
     "agents (qemu-ga)")                                                                           \
  X (ONLY, "only", 0, "VM,...", "only these VMs, the others run on as they are (after a rollback " \
     "messages between the VMs may then contradict each other); may be given several times")        \
  X (POLICY, "policy", 0, "NAME", "which VMs share a snapshot's barrier: coordinated (all, the "    \
     "default), independent or group")                                                             \
  X (STAGGER, "stagger", 0, "TIME", "wait so long between the snapshots that the policy asks for, " \
     "as 2s or 500ms (default: 0s)")                                                               \
  X (FAILED, "failed", 0, "VM,...", "these VMs have failed (default: those that do not run); may "  \
     "be given several times")                                                                     \
  X (ALLOW_LOST, "allow-lost", 0, NULL, "leave VMs as they are that have no snapshot which is old " \
     "enough, and recover the others")
// clang-format on

typedef enum
{
#define X(symbol, name, letter, argument, text) CS_OPTION_##symbol,
  CS_OPTION_TABLE (X)
#undef X
      CS_N_OPTIONS
} CsOption;

#define CS_OPTION_BIT(symbol) (1u << CS_OPTION_##symbol)

/* Those that every command takes. */
#define CS_GLOBAL_OPTIONS                                                                          \
  (CS_OPTION_BIT (FORMAT) | CS_OPTION_BIT (COLUMN) | CS_OPTION_BIT (SOCKET)                        \
   | CS_OPTION_BIT (STORE) | CS_OPTION_BIT (STATE_DIR) | CS_OPTION_BIT (QUIET)                     \
   | CS_OPTION_BIT (HELP) | CS_OPTION_BIT (VERSION))

typedef struct CsArguments CsArguments;

/* Parses @argv (which is reordered, as getopt_long does).  Errors: INVALID. */
CsArguments *cs_arguments_parse (int argc, char **argv, GError **error);
void cs_arguments_free (CsArguments *arguments);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsArguments, cs_arguments_free)

/* Refuses options outside the set @allowed; @command is what the error calls it. */
bool cs_arguments_check (const CsArguments *arguments, guint32 allowed, const char *command,
                         GError **error);

bool cs_arguments_has (const CsArguments *arguments, CsOption option);
/* The last value given, or NULL. */
const char *cs_arguments_value (const CsArguments *arguments, CsOption option);
/* All values, NULL-terminated; borrowed. */
const char *const *cs_arguments_values (const CsArguments *arguments, CsOption option);

guint cs_arguments_n_operands (const CsArguments *arguments);
/* Operand @i, NULL when there are fewer.  The command's own words come first. */
const char *cs_arguments_operand (const CsArguments *arguments, guint i);

/* "  -f, --format table|json|value|dot", and what it does. */
char *cs_option_usage (CsOption option);
const char *cs_option_text (CsOption option);
const char *cs_option_name (CsOption option);

#endif
