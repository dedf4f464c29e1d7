/* What the files of CsClusterLines share: cluster-lines.c, cluster-lines-look.c,
 * cluster-lines-cut.c, cluster-lines-account.c, cluster-lines-file.c. */
#ifndef CS_VMM_CLUSTER_LINES_PRIVATE_H
#define CS_VMM_CLUSTER_LINES_PRIVATE_H

#include "vmm/cluster-lines.h"
#include "vmm/flows.h"

/* A tap whose frames are counted. */
typedef struct
{
  char *name; /* of its set */
  guint index;
  guint64 netns;
  guint64 handle; /* of the set; 0: nothing is counted */
  GArray *seen;   /* of CsFlow: what is accounted for already */
} CsWatch;

typedef struct
{
  char *name;
  CsLine *line;
  pid_t pid; /* of the QEMU that was looked at; 0: none */
  guint64 start_time;
  GArray *macs;       /* of guint64 */
  GPtrArray *watches; /* of CsWatch */
  bool countable;
  bool missed; /* since the last reading it may have sent what was not counted */
  char *problem;
} CsLineMember;

struct CsCut
{
  gatomicrefcount references;
  GHashTable *texts;    /* namespace -> what its table listed; NULL: it could not be read */
  GPtrArray *names;     /* that enter their next interval */
  GPtrArray *documents; /* of those that go back */
  GHashTable *lines;    /* settled: name -> CsLine as it was at the cut */
  gint64 time;
};

struct CsClusterLines
{
  /* immutable */
  char *path;
  CsFlows *flows;

  /* while taps begin or cease to be counted: a namespace loses its table only when nobody is just
   * beginning in it.  Taken before all others */
  GMutex change_lock;

  /* for writing: taken before lock */
  GMutex file_lock;

  /* under lock; never held while anything is written, but while counters are read */
  GMutex lock;
  GPtrArray *members; /* of CsLineMember */
  GPtrArray *retired; /* those that left the cluster: somebody may be looking at one */
  guint64 floor;      /* no number up to this is for a VM that joins: others had them that left */
  GQueue cuts;        /* of CsCut, not settled, the oldest first */
};

CsLineMember *cs_line_member_new (const char *name);
void cs_line_member_free (CsLineMember *member);
CsWatch *cs_watch_new (guint index, guint64 netns, guint64 handle);
void cs_watch_free (gpointer watch);
CsLineMember *cs_cluster_lines_member (const CsClusterLines *lines, const char *name);
bool cs_line_member_is_alive (const CsLineMember *member);

/* cluster-lines-look.c.  With change_lock only.  Ends the watches (taken); namespaces without any
 * lose their table. */
void cs_cluster_lines_unwatch (CsClusterLines *lines, GPtrArray *watches);

/* cluster-lines-account.c.  Namespace -> GPtrArray of CsFlowSet. */
GHashTable *cs_account_parse (GHashTable *texts);
/* @sets' frames that @members have not seen yet bind them; with @frames ("i j" -> count) they are
 * added up there as well.  With @take they are accounted for now. */
void cs_account (GPtrArray *members, GHashTable *sets, GHashTable *frames, bool take);
/* Of @frames: from member @i to member @j. */
guint64 cs_account_frames (GHashTable *frames, guint i, guint j);
GHashTable *cs_account_frames_new (void);

/* cluster-lines-file.c */
bool cs_cluster_lines_load (CsClusterLines *lines, GError **error);
/* Takes both locks. */
bool cs_cluster_lines_save (CsClusterLines *lines, GError **error);

#endif
