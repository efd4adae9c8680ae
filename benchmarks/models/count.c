/* SPDX-License-Identifier: Apache-2.0
 *
 * The yardstick: the count protocol of count.py, step for step, as a breadth-first search that somebody
 * would write by hand for this one protocol. A state is one 64-bit word, the visited set one open-addressing
 * table of such words, the queue one vector. No parents are kept, so it could not print a counterexample.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef N
#define N 3
#endif

/* Notifier i: 4 bits at 4*i. Then: */
#define LOCK 32		/* the spinlock is taken */
#define COUNT 36	/* 4 bits */
#define UPDATER 40	/* 4 bits */
#define WAITER 44	/* the updater has said that it waits */
#define ASLEEP 45
#define SLOTS 46

enum { LOCK1, RAISE, UNLOCK1, LOCK2, LOWER, UNLOCK2, UNLOCK2_WAKE, LEAVE, LOOK, WAKE_NOBODY, WAKE, LEAVE_WOKEN };
enum { U_SLOTS, U_LOCK, U_PREPARE, U_TEST, U_UNLOCK_SLEEP, U_SLEEP, U_LOCK_AGAIN, U_INSTALL, U_UNLOCK, U_DROP };

static uint64_t *table, mask, *queue, capacity, head, tail, transitions;

static uint64_t get(uint64_t s, int at, uint64_t m) { return s >> at & m; }
static uint64_t set(uint64_t s, int at, uint64_t m, uint64_t v) { return (s & ~(m << at)) | v << at; }

static uint64_t hash(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	return x ^ x >> 32;
}

static void grow(void)
{
	uint64_t slots = (mask + 1) * 2;

	free(table);
	table = calloc(slots, sizeof *table);
	mask = slots - 1;
	for (uint64_t i = 0; i < tail; i++) {
		uint64_t at = hash(queue[i]) & mask;

		while (table[at])
			at = (at + 1) & mask;
		table[at] = queue[i] + 1;
	}
	if (capacity < slots) {
		capacity = slots;
		queue = realloc(queue, capacity * sizeof *queue);
	}
}

static void reach(uint64_t s)
{
	uint64_t at = hash(s) & mask;

	while (table[at]) {
		if (table[at] == s + 1)
			return;
		at = (at + 1) & mask;
	}
	table[at] = s + 1;
	queue[tail++] = s;
	if (tail > (mask + 1) / 4 * 3)
		grow();
}

static void step(uint64_t s)
{
	transitions++;
	reach(s);
}

static void notifier(uint64_t s, int i)
{
	int pc = 4 * i;

	switch (get(s, pc, 15)) {
	case LOCK1:
	case LOCK2:
		if (!get(s, LOCK, 1))
			step(set(s, LOCK, 1, 1) + (1ULL << pc));
		break;
	case RAISE:
		step(s + (1ULL << COUNT) + (1ULL << pc));
		break;
	case UNLOCK1:
		step(set(s, LOCK, 1, 0) + (1ULL << pc));
		break;
	case LOWER:
		s -= 1ULL << COUNT;
		step(set(s, pc, 15, get(s, COUNT, 15) ? UNLOCK2 : UNLOCK2_WAKE));
		break;
	case UNLOCK2:
		step(set(set(s, LOCK, 1, 0), pc, 15, LEAVE));
		break;
	case UNLOCK2_WAKE:
		step(set(set(s, LOCK, 1, 0), pc, 15, LOOK));
		break;
	case LOOK:
		step(set(s, pc, 15, get(s, WAITER, 1) ? WAKE : WAKE_NOBODY));
		break;
	case WAKE:
		step(set(set(s, ASLEEP, 1, 0), pc, 15, LEAVE_WOKEN));
		break;
	case WAKE_NOBODY:
		step(set(s, pc, 15, LEAVE_WOKEN));
		break;
	case LEAVE:
	case LEAVE_WOKEN:
		step(set(s, pc, 15, LOCK1));
		break;
	}
}

static uint64_t to(uint64_t s, uint64_t pc) { return set(s, UPDATER, 15, pc); }

static void updater(uint64_t s)
{
	switch (get(s, UPDATER, 15)) {
	case U_SLOTS:
		step(to(set(s, SLOTS, 1, 1), U_LOCK));
		break;
	case U_LOCK:
		if (!get(s, LOCK, 1))
			step(to(set(s, LOCK, 1, 1), U_PREPARE));
		break;
	case U_PREPARE:
		step(to(set(s, WAITER, 1, 1), U_TEST));
		break;
	case U_TEST:
		if (get(s, COUNT, 15))
			step(to(set(s, ASLEEP, 1, 1), U_UNLOCK_SLEEP));
		else
			step(to(set(set(s, WAITER, 1, 0), ASLEEP, 1, 0), U_INSTALL));
		break;
	case U_UNLOCK_SLEEP:
		step(to(set(s, LOCK, 1, 0), U_SLEEP));
		break;
	case U_SLEEP:
		if (!get(s, ASLEEP, 1))
			step(to(s, U_LOCK_AGAIN));
		break;
	case U_LOCK_AGAIN:
		if (!get(s, LOCK, 1))
			step(to(set(s, LOCK, 1, 1), U_TEST));
		break;
	case U_INSTALL:
		step(to(s, U_UNLOCK));
		break;
	case U_UNLOCK:
		step(to(set(s, LOCK, 1, 0), U_DROP));
		break;
	case U_DROP:
		step(to(set(s, SLOTS, 1, 0), U_SLOTS));
		break;
	}
}

int main(void)
{
	mask = 0xffff;
	capacity = mask + 1;
	table = calloc(capacity, sizeof *table);
	queue = malloc(capacity * sizeof *queue);
	reach(0);
	while (head < tail) {
		uint64_t s = queue[head++];

		for (int i = 0; i < N; i++)
			notifier(s, i);
		updater(s);
	}
	printf("%llu states %llu transitions\n", (unsigned long long)tail,
	       (unsigned long long)transitions);
	return 0;
}
