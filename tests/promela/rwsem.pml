/* SPDX-License-Identifier: Apache-2.0
 *
 * The fair rwsem, written independently of tests/protocols/fair_rwsem.py, at the same step granularity: each
 * d_step is one step. Build with -DN=<notifiers>.
 */
bool pseudo, writer, slots_lock;
byte readers, waiting;

active [N] proctype notifier()
{
	do
	::	d_step { !pseudo; pseudo = 1 }
		d_step { !writer && waiting == 0; readers++ }
		d_step { pseudo = 0 }
		d_step { !pseudo; pseudo = 1 }
		d_step { readers-- }
		d_step { pseudo = 0 }
	od
}

active proctype updater()
{
	do
	::	d_step { !slots_lock; slots_lock = 1 }
		if
		:: d_step { !writer && readers == 0; writer = 1 }
		:: d_step { writer || readers != 0; waiting++ }
		   d_step { !writer && readers == 0; waiting--; writer = 1 }
		fi
		writer = 0
		d_step { slots_lock = 0 }
	od
}
