/* SPDX-License-Identifier: Apache-2.0
 * Peterson's mutual exclusion, step for step as in examples/textbook/peterson.py.
 */
#ifndef N
#define N 4
#endif

byte pos[N];
byte step[N];

active [N] proctype process()
{
	byte j = 0;
	byte k = 0;
	do
	:: j = 1;
	   do
	   :: d_step { j < N -> pos[_pid] = j };
	      d_step { step[j - 1] = _pid; k = 0 };
	      do
	      :: d_step { k < N && (k == _pid || pos[k] < j) -> k++ }
	      :: d_step { step[j - 1] != _pid || k == N -> j++ }; break
	      od
	   :: j == N -> break
	   od;
	   pos[_pid] = 0
	od
}
