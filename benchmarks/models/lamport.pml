/* SPDX-License-Identifier: Apache-2.0
 * Lamport's fast mutual exclusion, step for step as in examples/textbook/lamport.py.
 */
#ifndef N
#define N 4
#endif
#define NOBODY 255

byte x = NOBODY;
byte y = NOBODY;
bit b[N];

active [N] proctype process()
{
	byte j = 0;
begin:
	b[_pid] = 1;
	x = _pid;
	if
	:: d_step { y != NOBODY -> b[_pid] = 0 };
	   y == NOBODY -> goto begin
	:: y == NOBODY -> y = _pid
	fi;
	if
	:: x == _pid
	:: d_step { x != _pid -> b[_pid] = 0; j = 0 };
	   do
	   :: d_step { j < N && b[j] == 0 -> j++ }
	   :: j == N -> break
	   od;
	   if
	   :: y == _pid
	   :: y == NOBODY -> goto begin
	   fi
	fi;
	y = NOBODY;
	b[_pid] = 0;
	goto begin
}
