/* SPDX-License-Identifier: Apache-2.0
 *
 * The merged count protocol, step for step as in count.py. Spin counts one state more for each
 * process that has not begun; all processes are made in one atomic step of init, which is kept.
 */
#ifndef N
#define N 3
#endif
#define NONE 0

byte mn_invalidate_lock = NONE;
byte mn_active_invalidate_count = 0;
byte mn_memslots_update_rcuwait = NONE;
bit asleep = 0;
byte slots_lock = NONE;
bit generation = 0;

active [N] proctype notifier()
{
	bit wake = 0;
	byte task = 0;
	do
	:: d_step { mn_invalidate_lock == NONE -> mn_invalidate_lock = _pid + 1 };
	   mn_active_invalidate_count++;
	   mn_invalidate_lock = NONE;
	   d_step { mn_invalidate_lock == NONE -> mn_invalidate_lock = _pid + 1 };
	   d_step {
		mn_active_invalidate_count--;
		wake = (mn_active_invalidate_count == 0)
	   };
	   if
	   :: d_step { wake -> mn_invalidate_lock = NONE; wake = 0 };
	      task = mn_memslots_update_rcuwait;
	      d_step {
		if
		:: task != NONE -> asleep = 0
		:: else
		fi;
		task = 0
	      }
	   :: d_step { !wake -> mn_invalidate_lock = NONE }
	   fi
	od
}

active proctype updater()
{
	do
	:: d_step { slots_lock == NONE -> slots_lock = _pid + 1 };
	   d_step { mn_invalidate_lock == NONE -> mn_invalidate_lock = _pid + 1 };
	   mn_memslots_update_rcuwait = _pid + 1;
	   do
	   :: d_step { mn_active_invalidate_count != 0 -> asleep = 1 };
	      mn_invalidate_lock = NONE;
	      !asleep;
	      d_step { mn_invalidate_lock == NONE -> mn_invalidate_lock = _pid + 1 }
	   :: d_step {
		mn_active_invalidate_count == 0 ->
		mn_memslots_update_rcuwait = NONE;
		asleep = 0
	      };
	      break
	   od;
	   generation = !generation;
	   mn_invalidate_lock = NONE;
	   slots_lock = NONE
	od
}
