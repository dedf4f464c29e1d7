/* Peers of a DSM that go away, connections that break, and strangers. */
#include "config.h"

#include "guest-agent/dsm/wire.h"
#include "tests/dsm/load.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NODES 4
#define OPERATIONS 1500

/* ---- connections that break ---- */

typedef struct
{
  guint finished, progress[NODES];
  guint64 reconnects;
  Operation operations[NODES * OPERATIONS];
} World;

/* As a RST would: what is in the socket's buffers is gone. */
static void
break_a_connection (GRand *chance)
{
  const struct sockaddr none = { .sa_family = AF_UNSPEC };
  struct sockaddr_in peer;
  for (int first = g_rand_int_range (chance, 3, 20), i = 0; i < 20; i++)
    {
      int fd = 3 + (first + i) % 20;
      socklen_t size = sizeof peer;
      if (getpeername (fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET)
        {
          connect (fd, &none, sizeof none);
          return;
        }
    }
}

static void *
break_connections (void *data)
{
  World *world = data;
  GRand *chance = g_rand_new ();
  while (__atomic_load_n (&world->finished, __ATOMIC_SEQ_CST) < NODES)
    {
      g_usleep (20000);
      break_a_connection (chance);
    }
  g_rand_free (chance);
  return NULL;
}

static int
run_broken (CsDsm *dsm, guint node, gpointer data)
{
  World *world = data;
  pthread_t thread;
  CsDsmStats stats;
  if (pthread_create (&thread, NULL, break_connections, world) != 0)
    return 1;
  load_run (dsm, node, NODES, world->operations + node * OPERATIONS, OPERATIONS, NULL);
  int result = 0;
  for (guint i = 0; i < 20; i++)
    if (cs_dsm_barrier (dsm, 1) < 0)
      result = 2;
  cs_dsm_stats (dsm, &stats);
  __atomic_add_fetch (&world->reconnects, stats.reconnects, __ATOMIC_SEQ_CST);
  __atomic_add_fetch (&world->finished, 1, __ATOMIC_SEQ_CST);
  pthread_join (thread, NULL);
  return result;
}

START_TEST (broken_connections)
{
  World *world = nodes_share (sizeof *world);
  const Nodes nodes = { .nodes = NODES,
                        .size = LOAD_PAGES * CS_DSM_PAGE,
                        .home_block = 1,
                        .body = run_broken,
                        .data = world };
  nodes_run (&nodes);
  ck_assert_uint_gt (world->reconnects, 0);
  g_autofree char *wrong = checker_check (world->operations, NODES, OPERATIONS, LOAD_WORDS);
  ck_assert_msg (wrong == NULL, "%s", wrong);
}
END_TEST

/* ---- a peer that is lost ---- */

static guint lost_node = G_MAXUINT;
static sigjmp_buf out;
static guint8 *fault_address;

static void
on_lost (void *data, unsigned node, const char *reason)
{
  __atomic_store_n (&lost_node, node, __ATOMIC_SEQ_CST);
}

static void
on_sigbus (int number, siginfo_t *info, void *context)
{
  fault_address = info->si_addr;
  siglongjmp (out, 1);
}

static bool
touching_raises (volatile guint8 *at)
{
  struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
  sigaction (SIGBUS, &action, NULL);
  if (sigsetjmp (out, 1) == 0)
    {
      (void)*at;
      return false;
    }
  return (fault_address - at) / CS_DSM_PAGE == 0;
}

/* Until the process whose number appears in @pid has ended; nobody has waited for it yet. */
static void
wait_for_end (guint *pid)
{
  char state = '?';
  while (state != 'Z')
    {
      g_usleep (5000);
      guint number = __atomic_load_n (pid, __ATOMIC_SEQ_CST);
      g_autofree char *path = g_strdup_printf ("/proc/%u/stat", number);
      g_autofree char *stat = NULL;
      if (number != 0 && g_file_get_contents (path, &stat, NULL, NULL))
        state = strrchr (stat, ')')[2];
    }
}

/* Node 2, home of page 2 and lock 2, ends without a word. */
static int
run_lost (CsDsm *dsm, guint node, gpointer data)
{
  guint8 *memory = cs_dsm_memory (dsm);
  memory[node * CS_DSM_PAGE] = (guint8)(1 + node);
  if (cs_dsm_barrier (dsm, 0) < 0)
    return 1;
  if (node == 2)
    {
      __atomic_store_n ((guint *)data, (guint)getpid (), __ATOMIC_SEQ_CST);
      _exit (0);
    }
  wait_for_end (data);
  if (node == 0 && !touching_raises (memory + 2 * CS_DSM_PAGE))
    return 2;
  if (cs_dsm_lock (dsm, 2) == 0 || errno != EHOSTDOWN)
    return 3;
  if (cs_dsm_barrier (dsm, 0) == 0 || errno != EHOSTDOWN)
    return 4;
  if (__atomic_load_n (&lost_node, __ATOMIC_SEQ_CST) == G_MAXUINT)
    return 5;
  /* What is here can still be read; what is not raises the signal at once. */
  if (memory[node * CS_DSM_PAGE] != 1 + node)
    return 6;
  if (!touching_raises (memory + 5 * CS_DSM_PAGE))
    return 7;
  CsDsmStats stats;
  if (cs_dsm_stats (dsm, &stats) < 0 || cs_dsm_prepare (dsm) == 0)
    return 8;
  return cs_dsm_close (dsm) < 0 && errno == EHOSTDOWN ? 0 : 9;
}

START_TEST (lost_peer)
{
  const Nodes nodes = { .nodes = 3,
                        .silence_ms = 1500,
                        .size = 6 * CS_DSM_PAGE,
                        .home_block = 1,
                        .ends_alone = true,
                        .lost = on_lost,
                        .body = run_lost,
                        .data = nodes_share (sizeof (guint)) };
  nodes_run (&nodes);
}
END_TEST

/* A node that stands for longer than the silence allowed finds nobody lost, and nobody lost it if
 * they stood too. */
static int
run_stopped (CsDsm *dsm, guint node, gpointer data)
{
  guint *pids = data;
  pids[node] = (guint)getpid ();
  if (cs_dsm_barrier (dsm, 0) < 0)
    return 1;
  g_usleep (300000);
  return cs_dsm_barrier (dsm, 0) < 0 ? 2 : 0;
}

static void *
stop_all (void *data)
{
  guint *pids = data;
  for (guint i = 0; i < 3; i++)
    while (__atomic_load_n (&pids[i], __ATOMIC_SEQ_CST) == 0)
      g_usleep (10000);
  g_usleep (50000);
  for (guint i = 0; i < 3; i++)
    kill ((pid_t)pids[i], SIGSTOP);
  g_usleep (4000000);
  for (guint i = 0; i < 3; i++)
    kill ((pid_t)pids[i], SIGCONT);
  return NULL;
}

START_TEST (all_stand)
{
  guint *pids = nodes_share (CS_DSM_PAGE);
  const Nodes nodes = {
    .nodes = 3, .silence_ms = 3000, .size = CS_DSM_PAGE, .body = run_stopped, .data = pids
  };
  pthread_t thread;
  ck_assert_int_eq (pthread_create (&thread, NULL, stop_all, pids), 0);
  nodes_run (&nodes);
  pthread_join (thread, NULL);
}
END_TEST

/* ---- strangers, and a peer that does not keep to the protocol ---- */

static int
connect_to_node_0 (void)
{
  g_autofree char *text = nodes_address (0);
  char *colon = strchr (text, ':');
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port =
                                     htons ((guint16)g_ascii_strtoull (colon + 1, NULL, 10)) };
  *colon = '\0';
  inet_pton (AF_INET, text, &address.sin_addr);
  int fd = socket (AF_INET, SOCK_STREAM, 0);
  while (connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
    g_usleep (10000);
  return fd;
}

static void
say (int fd, const void *bytes, gsize n)
{
  ssize_t done = send (fd, bytes, n, MSG_NOSIGNAL);
  (void)done;
}

/* Waits until the other end closes. */
static void
hear_out (int fd)
{
  char bytes[1000];
  while (recv (fd, bytes, sizeof bytes, 0) > 0)
    ;
  close (fd);
}

static int
run_beside_strangers (CsDsm *dsm, guint node, gpointer data)
{
  if (node == 1)
    {
      guint8 noise[3000];
      CsFrame hello = { .kind = CS_WIRE_HELLO };
      hello.hello = (CsWireHello){
        .magic = CS_WIRE_MAGIC, .version = CS_WIRE_VERSION, .node = 1, .nodes = 2, .incarnation = 7
      };
      for (guint i = 0; i < 20; i++)
        {
          guint8 bytes[CS_WIRE_MAX];
          memset (noise, (int)(i * 13), sizeof noise);
          int fd = connect_to_node_0 ();
          if (i % 2 == 0)
            say (fd, noise, sizeof noise);
          else
            {
              hello.hello.node = (guint16)(i % 7);
              say (fd, bytes, cs_wire_encode (&hello, bytes));
            }
          hear_out (fd);
        }
    }
  CsDsmStats stats;
  if (cs_dsm_barrier (dsm, 0) < 0)
    return 1;
  cs_dsm_stats (dsm, &stats);
  return node == 0 && stats.rejected < 20 ? 2 : 0;
}

START_TEST (strangers)
{
  const Nodes nodes = { .nodes = 2, .size = CS_DSM_PAGE, .body = run_beside_strangers };
  nodes_run (&nodes);
}
END_TEST

static int
run_beside_liar (CsDsm *dsm, guint node, gpointer data)
{
  __atomic_store_n ((guint *)data, 1, __ATOMIC_SEQ_CST);
  if (cs_dsm_barrier (dsm, 0) == 0 || errno != EHOSTDOWN)
    return 1;
  return cs_dsm_close (dsm) < 0 ? 0 : 2;
}

/* Node 1 is played here: it greets and then grants a page that nobody asked for. */
static void *
lie (void *data)
{
  guint8 bytes[CS_WIRE_MAX];
  CsFrame frame = { .kind = CS_WIRE_HELLO };
  frame.hello = (CsWireHello){ .magic = CS_WIRE_MAGIC,
                               .version = CS_WIRE_VERSION,
                               .node = 1,
                               .nodes = 2,
                               .pages = 2,
                               .incarnation = 7 };
  int fd = connect_to_node_0 ();
  say (fd, bytes, cs_wire_encode (&frame, bytes));
  /* Until it is open: else it is lost before that. */
  while (__atomic_load_n ((guint *)data, __ATOMIC_SEQ_CST) == 0)
    g_usleep (1000);
  frame = (CsFrame){
    .kind = CS_WIRE_GRANT, .sequence = 1, .id = 1, .content = CS_WIRE_ZEROS, .writer = 1
  };
  say (fd, bytes, cs_wire_encode (&frame, bytes));
  hear_out (fd);
  return NULL;
}

START_TEST (liar)
{
  Nodes nodes = { .nodes = 2,
                  .size = 2 * CS_DSM_PAGE,
                  .ends_alone = true,
                  .body = run_beside_liar,
                  .data = nodes_share (sizeof (guint)) };
  pthread_t thread;
  g_free (nodes_address (0));
  ck_assert_int_eq (pthread_create (&thread, NULL, lie, nodes.data), 0);
  nodes_run_first (&nodes, 1);
  pthread_join (thread, NULL);
}
END_TEST

/* ---- a peer that goes back alone ---- */

enum
{
  GOES_ON,             /* a connection broke, nothing else */
  OTHER_FRAME_AT_ONCE, /* the connection goes on, with what was sent under other numbers before */
  OTHER_FRAME_LATER,   /* the same on a new connection: all numbers fit */
  FORGOT_A_FRAME,      /* it has not received what it acknowledged */
  OTHER_RECEIVED,      /* it received as many frames, but others */
  FROM_LATER,          /* this node went back: the peer has received what it has not sent yet */
  N_WAYS_BACK,
};

/* Node 1, played by the test. */
typedef struct
{
  guint way, *open;
  int fd;
  guint8 in[CS_WIRE_MAX];
  gsize n;
  guint64 sent, sent_history, received, received_history;
} Player;

static void
player_connect (Player *player)
{
  guint8 bytes[CS_WIRE_MAX];
  CsFrame frame = { .kind = CS_WIRE_HELLO, .history = player->received_history };
  frame.hello = (CsWireHello){ .magic = CS_WIRE_MAGIC,
                               .version = CS_WIRE_VERSION,
                               .node = 1,
                               .nodes = 2,
                               .pages = 2,
                               .incarnation = 7,
                               .received = player->received };
  player->fd = connect_to_node_0 ();
  player->n = 0;
  say (player->fd, bytes, cs_wire_encode (&frame, bytes));
}

static void
player_ask (Player *player, guint lock)
{
  guint8 bytes[CS_WIRE_MAX];
  CsFrame frame = { .kind = CS_WIRE_LOCK_ASK,
                    .id = lock,
                    .sequence = ++player->sent,
                    .acknowledged = player->received,
                    .history = player->sent_history };
  gsize n = cs_wire_encode (&frame, bytes);
  player->sent_history = cs_wire_history (player->sent_history, bytes, n);
  say (player->fd, bytes, n);
}

/* Until a frame of @kind has come. */
static void
player_hear (Player *player, guint kind)
{
  CsFrame frame = { 0 };
  const char *why = NULL;
  while (frame.kind != kind)
    {
      long n = cs_wire_parse (player->in, player->n, 2, 2, &frame, &why);
      g_assert_cmpint (n, >=, 0);
      if (n == 0)
        {
          frame.kind = 0;
          ssize_t more =
              recv (player->fd, player->in + player->n, sizeof player->in - player->n, 0);
          g_assert_cmpint (more, >, 0);
          player->n += (gsize)more;
          continue;
        }
      if (frame.sequence == player->received + 1)
        {
          player->received++;
          player->received_history =
              cs_wire_history (player->received_history, player->in, (gsize)n);
        }
      memmove (player->in, player->in + n, player->n - (gsize)n);
      player->n -= (gsize)n;
    }
}

/* Returns when node 0 knows what the player has received. */
static void
player_acknowledge (Player *player)
{
  guint8 bytes[CS_WIRE_MAX];
  CsFrame frame = { .kind = CS_WIRE_PING, .acknowledged = player->received };
  say (player->fd, bytes, cs_wire_encode (&frame, bytes));
  player_hear (player, CS_WIRE_ACK);
}

/* As if what happened since some moment had not, and other things had. */
static void
player_go_back (Player *player)
{
  if (player->way == OTHER_FRAME_AT_ONCE || player->way == OTHER_FRAME_LATER)
    player->sent_history++;
  if (player->way == FORGOT_A_FRAME)
    player->received = player->received_history = 0;
  if (player->way == OTHER_RECEIVED)
    player->received_history++;
  if (player->way == FROM_LATER)
    player->received += 5;
}

static void *
play (void *data)
{
  Player *player = data;
  player_connect (player);
  while (__atomic_load_n (player->open, __ATOMIC_SEQ_CST) == 0)
    g_usleep (1000);
  player_ask (player, 0);
  player_hear (player, CS_WIRE_LOCK_GIVE);
  player_acknowledge (player);
  player_go_back (player);
  if (player->way != OTHER_FRAME_AT_ONCE)
    {
      close (player->fd);
      player_connect (player);
    }
  player_ask (player, 2);
  if (player->way == GOES_ON)
    {
      player_hear (player, CS_WIRE_LOCK_GIVE);
      /* It is lost for another reason: it asks for what it has. */
      player_ask (player, 2);
    }
  hear_out (player->fd);
  return NULL;
}

static char lost_reason[300];

static void
on_lost_reason (void *data, unsigned node, const char *reason)
{
  g_strlcpy (lost_reason, reason, sizeof lost_reason);
}

static int
run_beside_player (CsDsm *dsm, guint node, gpointer data)
{
  guint *way = data;
  __atomic_store_n (&way[1], 1, __ATOMIC_SEQ_CST);
  if (cs_dsm_barrier (dsm, 0) == 0 || errno != EHOSTDOWN)
    return 1;
  bool of_other_time = strstr (lost_reason, "of different times") != NULL;
  cs_dsm_close (dsm);
  if (of_other_time == (*way != GOES_ON))
    return 0;
  g_printerr ("lost: %s\n", lost_reason);
  return 2;
}

START_TEST (goes_back_alone)
{
  guint *shared = nodes_share (2 * sizeof *shared);
  shared[0] = (guint)_i;
  Player player = { .way = (guint)_i, .open = &shared[1] };
  Nodes nodes = { .nodes = 2,
                  .size = 2 * CS_DSM_PAGE,
                  .ends_alone = true,
                  .lost = on_lost_reason,
                  .body = run_beside_player,
                  .data = shared };
  pthread_t thread;
  g_free (nodes_address (0));
  ck_assert_int_eq (pthread_create (&thread, NULL, play, &player), 0);
  nodes_run_first (&nodes, 1);
  pthread_join (thread, NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("dsm-faults");
  TCase *tcase = tcase_create ("dsm-faults");
  tcase_set_timeout (tcase, 900);
  tcase_add_test (tcase, broken_connections);
  tcase_add_test (tcase, lost_peer);
  tcase_add_test (tcase, all_stand);
  tcase_add_test (tcase, strangers);
  tcase_add_test (tcase, liar);
  tcase_add_loop_test (tcase, goes_back_alone, 0, N_WAYS_BACK);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
