/* SPDX-License-Identifier: Apache-2.0
 *
 * The merged design, written independently of count.py, at the same step granularity: each
 * d_step is one step. Build with -DN=<notifiers> and, for the pseudo lock, -DPSEUDO.
 */
bool pseudo, spinlock, slots_lock, waiter, asleep;
byte count;

active [N] proctype notifier()
{
	bool wake, found;

	do
	::
#ifdef PSEUDO
		d_step { !pseudo; pseudo = 1 }
#endif
		d_step { !spinlock; spinlock = 1 }
		d_step { count++ }
		d_step { spinlock = 0 }
#ifdef PSEUDO
		d_step { pseudo = 0 }
		d_step { !pseudo; pseudo = 1 }
#endif
		d_step { !spinlock; spinlock = 1 }
		d_step { count--; wake = (count == 0) }
		d_step { spinlock = 0 }
		if
		:: d_step { wake; wake = 0; found = waiter }
		   d_step { if :: found -> asleep = 0 :: else fi; found = 0 }
		   d_step { pseudo = 0 }
		:: d_step { !wake; pseudo = 0 }
		fi
	od
}

active proctype updater()
{
	do
	::	d_step { !slots_lock; slots_lock = 1 }
		d_step { !spinlock; spinlock = 1 }
		d_step { waiter = 1 }
		do
		:: d_step { count != 0; asleep = 1 }
		   d_step { spinlock = 0 }
		   d_step { !asleep; skip }
		   d_step { !spinlock; spinlock = 1 }
		:: d_step { count == 0; waiter = 0; asleep = 0 }
		   break
		od
		skip			/* install */
		d_step { spinlock = 0 }
		d_step { slots_lock = 0 }
	od
}
