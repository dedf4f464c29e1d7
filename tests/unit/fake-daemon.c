#include "config.h"

#include "tests/unit/fake-daemon.h"

#include "common/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct FakeJournal
{
  GMutex mutex;
  GCond changed;
  GPtrArray *entries;
  char *path;
};

struct FakeDaemon
{
  char *path;
  char *label;
  FakeJournal *journal;
  GHashTable *actions; /* written before the first connection only */
  int listener;
  GThread *thread;
  GMutex mutex;
  GPtrArray *connections; /* under mutex */
  json_object *sealed;    /* under mutex: what snapshot.list answers */
};

typedef struct
{
  FakeDaemon *daemon;
  int fd;
  GThread *thread;
  json_object *begin; /* params of the job */
  guint64 held_id;    /* request answered when job.abort comes; 0: none */
  char *held_method;
  bool held_completes;
  bool deaf;
} Connection;

FakeJournal *
fake_journal_new (const char *path)
{
  FakeJournal *journal = g_new0 (FakeJournal, 1);
  g_mutex_init (&journal->mutex);
  g_cond_init (&journal->changed);
  journal->entries = g_ptr_array_new_with_free_func (g_free);
  journal->path = g_strdup (path);
  return journal;
}

void
fake_journal_free (FakeJournal *journal)
{
  g_mutex_clear (&journal->mutex);
  g_cond_clear (&journal->changed);
  g_ptr_array_unref (journal->entries);
  g_free (journal->path);
  g_free (journal);
}

static void
record (FakeDaemon *daemon, const char *sign, const char *text)
{
  FakeJournal *journal = daemon->journal;
  g_mutex_lock (&journal->mutex);
  char *entry = g_strdup_printf ("%s%s %s", daemon->label, sign, text);
  g_ptr_array_add (journal->entries, entry);
  FILE *file = journal->path != NULL ? fopen (journal->path, "a") : NULL;
  if (file != NULL)
    {
      fprintf (file, "%s\n", entry);
      fclose (file);
    }
  g_cond_broadcast (&journal->changed);
  g_mutex_unlock (&journal->mutex);
}

static int
find_locked (FakeJournal *journal, const char *entry, int from)
{
  for (guint i = (guint)from; i < journal->entries->len; i++)
    if (strcmp (g_ptr_array_index (journal->entries, i), entry) == 0)
      return (int)i;
  return -1;
}

int
fake_journal_find (FakeJournal *journal, const char *entry, int from)
{
  g_mutex_lock (&journal->mutex);
  int found = find_locked (journal, entry, from);
  g_mutex_unlock (&journal->mutex);
  return found;
}

guint
fake_journal_count (FakeJournal *journal, const char *entry)
{
  guint count = 0;
  for (int at = 0; (at = fake_journal_find (journal, entry, at)) >= 0; at++)
    count++;
  return count;
}

bool
fake_journal_wait (FakeJournal *journal, const char *entry)
{
  gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
  bool found, in_time = true;
  g_mutex_lock (&journal->mutex);
  while (!(found = find_locked (journal, entry, 0) >= 0) && in_time)
    in_time = g_cond_wait_until (&journal->changed, &journal->mutex, end);
  g_mutex_unlock (&journal->mutex);
  return found;
}

static void
send_bytes (Connection *connection, const char *bytes, gsize length)
{
  while (length > 0)
    {
      ssize_t n = send (connection->fd, bytes, length, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return;
      bytes += n;
      length -= (gsize)n;
    }
}

static char *
answer_line (guint64 id, const char *member, json_object *body)
{
  g_autoptr (CsJson) answer = json_object_new_object ();
  cs_json_add_uint (answer, "id", id);
  json_object_object_add (answer, member, body);
  return g_strconcat (json_object_to_json_string_ext (answer, JSON_C_TO_STRING_PLAIN), "\n", NULL);
}

static void
send_answer (Connection *connection, const char *method, guint64 id, json_object *body)
{
  g_autofree char *line = answer_line (id, "result", body);
  record (connection->daemon, ">", method);
  send_bytes (connection, line, strlen (line));
}

static void
send_error (Connection *connection, const char *method, guint64 id, const char *code,
            const char *message)
{
  json_object *body = json_object_new_object ();
  cs_json_add_string (body, "code", code);
  cs_json_add_string (body, "message", message);
  g_autofree char *line = answer_line (id, "error", body);
  record (connection->daemon, ">", method);
  send_bytes (connection, line, strlen (line));
}

/* One object per VM of the job, each with @members (a JSON object's inside) added. */
static json_object *
vms_answer (Connection *connection, const char *members)
{
  json_object *vms = json_object_new_array ();
  json_object *asked = cs_json_array (connection->begin, "vms");
  g_autofree char *text = g_strdup_printf ("{%s}", members);
  for (gsize i = 0; asked != NULL && i < json_object_array_length (asked); i++)
    {
      json_object *vm = json_tokener_parse (text);
      json_object *item = json_object_array_get_idx (asked, i);
      const char *name = cs_json_string (item, "name");
      cs_json_add_string (vm, "name", name != NULL ? name : json_object_get_string (item));
      json_object_array_add (vms, vm);
    }
  json_object *answer = json_object_new_object ();
  json_object_object_add (answer, "vms", vms);
  return answer;
}

static json_object *
seal (Connection *connection)
{
  json_object *entry =
      json_tokener_parse ("{\"created\":\"2026-11-21T02:03:04.123456Z\",\"state\":\"ok\","
                          "\"bytes-stored\":123456,\"pause\":9100,\"parent\":null}");
  json_object *vms = cs_json_array (connection->begin, "vms");
  cs_json_add_string (entry, "cluster", cs_json_string (connection->begin, "cluster"));
  cs_json_add_string (entry, "snapshot", cs_json_string (connection->begin, "snapshot"));
  cs_json_add_uint (entry, "vms", vms != NULL ? json_object_array_length (vms) : 0);
  g_mutex_lock (&connection->daemon->mutex);
  json_object_array_add (connection->daemon->sealed, entry);
  g_mutex_unlock (&connection->daemon->mutex);
  return json_tokener_parse ("{\"total\":90000,\"pause\":9100,\"skew\":300}");
}

static json_object *
list (Connection *connection)
{
  json_object *answer = json_object_new_object ();
  json_object *copy = NULL;
  g_mutex_lock (&connection->daemon->mutex);
  json_object_deep_copy (connection->daemon->sealed, &copy, NULL);
  g_mutex_unlock (&connection->daemon->mutex);
  json_object_object_add (answer, "snapshots", copy);
  return answer;
}

static json_object *
begin (Connection *connection, json_object *params)
{
  json_object_put (connection->begin);
  connection->begin = json_object_get (params);
  if (cs_json_array (params, "vms") == NULL)
    json_object_object_add (params, "vms", json_tokener_parse ("[\"vm1\",\"vm2\"]"));
  json_object *answer = json_object_new_object ();
  g_autofree char *job = g_strdup_printf ("j-%s", connection->daemon->label);
  cs_json_add_string (answer, "job", job);
  json_object_object_add (answer, "vms", json_object_get (cs_json_array (params, "vms")));
  json_object *clone = cs_json_member_object (params, "clone");
  if (clone != NULL)
    {
      json_object *made = json_tokener_parse ("{\"directory\":\"/c\",\"vms\":[{\"name\":\"vm1\","
                                              "\"qmp\":\"/c/1\"},{\"name\":\"vm2\",\"uri\":"
                                              "\"qemu:///system\",\"domain\":\"lab-vm2\"}]}");
      cs_json_add_string (made, "name", cs_json_string (clone, "name"));
      json_object_object_add (answer, "clone", made);
    }
  return answer;
}

/* Every VM runs. */
static json_object *
begin_rollback (Connection *connection, json_object *params)
{
  json_object *answer = begin (connection, params);
  g_autoptr (CsJson) ways = vms_answer (connection, "\"way\":\"in-place\"");
  json_object_object_add (answer, "vms", json_object_get (cs_json_array (ways, "vms")));
  return answer;
}

/* Every VM runs, has one snapshot, and has seen nothing of the others. */
static json_object *
dependencies (json_object *params)
{
  json_object *answer = json_object_new_object (), *vms = json_object_new_array ();
  json_object *asked = cs_json_array (params, "vms");
  for (gsize i = 0; asked != NULL && i < json_object_array_length (asked); i++)
    {
      json_object *vm = json_tokener_parse ("{\"running\":true,\"sequence\":1,\"line\":"
                                            "[{\"branch\":\"b\"}],\"dependencies\":[]}");
      cs_json_add_string (vm, "name",
                          cs_json_string (json_object_array_get_idx (asked, i), "name"));
      json_object_array_add (vms, vm);
    }
  json_object_object_add (answer, "vms", vms);
  return answer;
}

/* Methods whose answer is the same for every VM of the job, or fixed. */
static const struct
{
  const char *method;
  bool per_vm;
  const char *members;
} answers[] = {
  { "hello", false,
    "{\"version\":\"0.1.0\",\"protocol\":1,\"pid\":4711,\"host\":\"fake\",\"kernel\":\"6.18\","
    "\"tracking\":true}" },
  { "vm.info", false,
    "{\"name\":\"vm\",\"running\":true,\"status\":\"running\",\"pid\":99,\"qemu-version\":"
    "\"10.0.2\",\"machine\":\"pc-q35-10.0\",\"memory\":536870912,\"disks\":[{\"name\":\"vda\","
    "\"size\":1073741824,\"format\":\"qcow2\",\"filename\":\"/d.qcow2\"}],\"tracked\":false,"
    "\"problems\":[]}" },
  { "store.init", false, "{\"uuid\":\"u-u-i-d\"}" },
  { "store.stats", false,
    "{\"path\":\"/s\",\"uuid\":\"u\",\"snapshots\":2,\"images\":4,\"segments\":1,\"bytes\":1048576,"
    "\"segment-bytes\":1000000,\"pages\":1000,\"referenced\":2500,\"raw-bytes\":4096000,"
    "\"dedup-ratio\":2.5,\"compression-ratio\":4.096}" },
  { "store.gc", false,
    "{\"images-removed\":1,\"segments-removed\":2,\"segments-rewritten\":3,\"pages-removed\":4,"
    "\"bytes-freed\":5242880}" },
  { "snapshot.show", false,
    "{\"manifest\":{\"format\":\"clusnap-manifest\",\"version\":1,\"cluster\":\"demo\","
    "\"snapshot\":\"s1\",\"parent\":null,\"created\":\"2026-11-21T02:03:04.123456Z\","
    "\"images\":[\"i1\"],\"pause\":9100,\"skew\":300,\"total\":900000,\"vms\":[{\"name\":\"vm1\","
    "\"image\":\"i1\",\"incremental\":true,\"qemu-version\":\"10.0.2\",\"machine\":\"pc\","
    "\"ram-blocks\":[{\"name\":\"pc.ram\",\"length\":536870912,\"page-size\":4096}],"
    "\"disks\":[{\"name\":\"vda\",\"size\":1073741824,\"format\":\"raw\",\"filename\":\"/d\"}],"
    "\"sequence\":3,\"line\":[],\"dependencies\":[{\"vm\":\"vm2\",\"interval\":2,\"sources\":"
    "[\"flows\",\"agent\"]}],"
    "\"stats\":{\"pause\":9100,\"pages-captured\":12}}]}}" },
  { "deps.forget", false, "{}" },
  { "clone.show", false,
    "{\"name\":\"lab\",\"state\":\"running\",\"directory\":\"/c\",\"memory\":12582912,"
    "\"disk\":393216,\"vms\":[]}" },
  { "clone.remove", false, "{\"removed\":true}" },
  { "snapshot.verify", false,
    "{\"vms\":[{\"name\":\"vm1\",\"ok\":true,\"pages\":77}],\"pages\":77}" },
  { "snapshot.delete", false, "{}" },
  { "snapshot.check", true, "\"incremental\":false,\"memory\":536870912,\"disks\":1" },
  { "snapshot.quiesce", true, "\"agent\":\"quiesced\",\"quiesce\":1700" },
  { "snapshot.precopy", true,
    "\"rounds\":2,\"pages\":9000,\"micro-pause\":700,\"stop-latency\":300" },
  { "snapshot.pause", true, "\"paused-at\":1000000" },
  { "snapshot.release", true,
    "\"paused-at\":1000000,\"resumed-at\":1009100,\"pause\":9100,\"stop\":400,\"scan\":100,"
    "\"devices\":1100,\"disks\":1300,\"copy\":500,\"cont\":200,\"pages\":150,"
    "\"device-bytes\":40000" },
  { "snapshot.store", true,
    "\"image\":\"i1\",\"pages-captured\":1000,\"pages-put\":1000,\"pages-zero\":200,\"pages-"
    "shared\":400,"
    "\"pages-stored\":400,\"bytes-captured\":4096000,\"bytes-stored\":409600,\"disk-bytes\":"
    "65536" },
  { "rollback.prepare", true, "\"pages\":150,\"disk-bytes\":65536" },
  { "rollback.pause", true, "\"paused-at\":1000000" },
  { "rollback.apply", true, "\"way\":\"in-place\"" },
  { "rollback.release", true,
    "\"way\":\"in-place\",\"pause\":6100,\"stop\":400,\"scan\":100,\"memory\":300,\"disks\":900,"
    "\"devices\":3200,\"fix-up\":200,\"wait\":50,\"cont\":200,\"pages\":150,\"pages-late\":2,"
    "\"fix-up-pages\":290,\"disk-bytes\":65536,\"frames-dropped\":1" },
  { "restore.load", true, "\"disks\":21000,\"launch\":52000,\"load\":4000" },
  { "restore.release", true, "\"running\":81000" },
  { "restore.wait", true, "\"resident\":912000,\"faults\":321" },
};

static json_object *
usual_answer (Connection *connection, const char *method, json_object *params)
{
  if (strcmp (method, "rollback.begin") == 0)
    return begin_rollback (connection, params);
  if (g_str_has_suffix (method, ".begin"))
    return begin (connection, params);
  if (strcmp (method, "snapshot.seal") == 0)
    return seal (connection);
  if (strcmp (method, "snapshot.list") == 0)
    return list (connection);
  if (strcmp (method, "deps.show") == 0)
    return dependencies (params);
  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    if (strcmp (method, answers[i].method) == 0)
      return answers[i].per_vm ? vms_answer (connection, answers[i].members)
                               : json_tokener_parse (answers[i].members);
  return NULL;
}

static void
answer_as_usual (Connection *connection, const char *method, guint64 id, json_object *params)
{
  json_object *answer = usual_answer (connection, method, params);
  if (answer != NULL)
    send_answer (connection, method, id, answer);
  else
    send_error (connection, method, id, "unsupported", "no such method");
}

static void
send_progress (Connection *connection)
{
  static const char lines[] =
      "{\"event\":\"progress\",\"job\":\"j\",\"vm\":\"vm1\",\"text\":\"copying\",\"done\":1,"
      "\"total\":2}\n{\"event\":\"progress\",\"text\":\"\\u001b[31mred\",\"unknown\":[]}\n";
  send_bytes (connection, lines, strlen (lines));
}

static void
answer_bytewise (Connection *connection, const char *method, guint64 id, json_object *params)
{
  json_object *answer = usual_answer (connection, method, params);
  g_autofree char *line = answer_line (id, "result", answer);
  record (connection->daemon, ">", method);
  for (const char *at = line; *at != '\0'; at++)
    send_bytes (connection, at, 1);
}

/* False: the connection ends. */
static bool
misbehave (Connection *connection, const char *action, guint64 id)
{
  static const char garbage[] = "this is no JSON\n";
  g_autofree char *stranger =
      g_strdup_printf ("{\"id\":%" G_GUINT64_FORMAT ",\"result\":{}}\n", id + 1000);
  if (strcmp (action, "close") == 0)
    return false;
  if (strcmp (action, "half") == 0)
    {
      send_bytes (connection, stranger, strlen (stranger) / 2);
      return false;
    }
  if (strcmp (action, "deaf") == 0)
    connection->deaf = true;
  else if (strcmp (action, "garbage") == 0)
    send_bytes (connection, garbage, strlen (garbage));
  else if (strcmp (action, "stranger") == 0)
    send_bytes (connection, stranger, strlen (stranger));
  else
    g_error ("no such action: %s", action);
  return true;
}

static bool
act (Connection *connection, const char *action, const char *method, guint64 id,
     json_object *params)
{
  if (g_str_has_prefix (action, "result:"))
    {
      send_answer (connection, method, id, json_tokener_parse (action + strlen ("result:")));
      return true;
    }
  if (g_str_has_prefix (action, "results:"))
    {
      g_auto (GStrv) results = g_strsplit (action + strlen ("results:"), ";;", -1);
      g_autofree char *entry = g_strdup_printf ("%s< %s", connection->daemon->label, method);
      guint nth = fake_journal_count (connection->daemon->journal, entry);
      send_answer (connection, method, id,
                   json_tokener_parse (results[MIN (nth, g_strv_length (results)) - 1]));
      return true;
    }
  if (g_str_has_prefix (action, "error:"))
    {
      g_auto (GStrv) parts = g_strsplit (action, ":", 3);
      send_error (connection, method, id, parts[1], parts[2]);
      return true;
    }
  if (g_str_has_prefix (action, "late:"))
    g_usleep (1000 * g_ascii_strtoull (action + strlen ("late:"), NULL, 10));
  else if (strcmp (action, "progress") == 0)
    send_progress (connection);
  else if (strcmp (action, "batch") == 0)
    {
      answer_bytewise (connection, method, id, params);
      return true;
    }
  else if (strcmp (action, "hang") == 0 || strcmp (action, "complete") == 0)
    {
      connection->held_id = id;
      connection->held_method = g_strdup (method);
      connection->held_completes = strcmp (action, "complete") == 0;
      return true;
    }
  else
    return misbehave (connection, action, id);
  answer_as_usual (connection, method, id, params);
  return true;
}

static void
abort_job (Connection *connection, guint64 id)
{
  if (connection->held_id != 0 && connection->held_completes)
    answer_as_usual (connection, connection->held_method, connection->held_id, NULL);
  else if (connection->held_id != 0)
    send_error (connection, connection->held_method, connection->held_id, "cancelled",
                "the job was aborted");
  connection->held_id = 0;
  g_clear_pointer (&connection->held_method, g_free);
  send_answer (connection, "job.abort", id, json_object_new_object ());
}

static bool
serve_line (Connection *connection, const char *line)
{
  g_autoptr (CsJson) request = json_tokener_parse (line);
  const char *method = cs_json_string (request, "method");
  guint64 id = cs_json_uint (request, "id", 0);
  json_object *params = cs_json_member_object (request, "params");
  if (method == NULL || params == NULL || id == 0)
    g_error ("the client sent no request: %s", line);
  record (connection->daemon, "<", method);
  const char *action = g_hash_table_lookup (connection->daemon->actions, method);
  if (connection->deaf)
    return true;
  if (action != NULL)
    return act (connection, action, method, id, params);
  if (strcmp (method, "job.abort") == 0)
    abort_job (connection, id);
  else
    answer_as_usual (connection, method, id, params);
  return true;
}

static gpointer
serve (gpointer data)
{
  Connection *connection = data;
  g_autoptr (GString) in = g_string_new (NULL);
  char buffer[4096];
  ssize_t n;
  bool open = true;
  while (open && (n = recv (connection->fd, buffer, sizeof buffer, 0)) > 0)
    {
      char *newline;
      g_string_append_len (in, buffer, n);
      while (open && (newline = strchr (in->str, '\n')) != NULL)
        {
          *newline = '\0';
          open = serve_line (connection, in->str);
          g_string_erase (in, 0, newline + 1 - in->str);
        }
    }
  record (connection->daemon, "!", "closed");
  shutdown (connection->fd, SHUT_RDWR);
  return NULL;
}

static gpointer
accept_all (gpointer data)
{
  FakeDaemon *daemon = data;
  int fd;
  while ((fd = accept (daemon->listener, NULL, NULL)) >= 0)
    {
      Connection *connection = g_new0 (Connection, 1);
      connection->daemon = daemon;
      connection->fd = fd;
      g_mutex_lock (&daemon->mutex);
      g_ptr_array_add (daemon->connections, connection);
      connection->thread = g_thread_new ("fake", serve, connection);
      g_mutex_unlock (&daemon->mutex);
    }
  return NULL;
}

FakeDaemon *
fake_daemon_new (const char *path, const char *label, FakeJournal *journal)
{
  FakeDaemon *daemon = g_new0 (FakeDaemon, 1);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_assert (strlen (path) < sizeof address.sun_path);
  memcpy (address.sun_path, path, strlen (path));
  daemon->path = g_strdup (path);
  daemon->label = g_strdup (label);
  daemon->journal = journal;
  daemon->actions = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  daemon->connections = g_ptr_array_new ();
  daemon->sealed = json_object_new_array ();
  g_mutex_init (&daemon->mutex);
  unlink (path);
  daemon->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind (daemon->listener, (struct sockaddr *)&address, sizeof address) < 0
      || listen (daemon->listener, 8) < 0)
    g_error ("cannot listen on '%s': %s", path, g_strerror (errno));
  daemon->thread = g_thread_new ("fake-accept", accept_all, daemon);
  return daemon;
}

void
fake_daemon_on (FakeDaemon *daemon, const char *method, const char *action)
{
  g_hash_table_replace (daemon->actions, g_strdup (method), g_strdup (action));
}

void
fake_daemon_free (FakeDaemon *daemon)
{
  shutdown (daemon->listener, SHUT_RDWR);
  g_thread_join (daemon->thread);
  close (daemon->listener);
  unlink (daemon->path);
  for (guint i = 0; i < daemon->connections->len; i++)
    {
      Connection *connection = g_ptr_array_index (daemon->connections, i);
      shutdown (connection->fd, SHUT_RDWR);
      g_thread_join (connection->thread);
      close (connection->fd);
      json_object_put (connection->begin);
      g_free (connection->held_method);
      g_free (connection);
    }
  g_ptr_array_unref (daemon->connections);
  g_hash_table_unref (daemon->actions);
  json_object_put (daemon->sealed);
  g_mutex_clear (&daemon->mutex);
  g_free (daemon->path);
  g_free (daemon->label);
  g_free (daemon);
}
