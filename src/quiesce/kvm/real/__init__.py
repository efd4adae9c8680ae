# SPDX-License-Identifier: Apache-2.0
"""The real KVM of this host beside the model: the device, its memslots, and what is compared.

``device.py`` makes the ioctls, ``vcpu.py`` runs a vCPU, ``guest.py`` lets a guest read and write its memory.
``requests.py`` has the kernel's checks of ``KVM_SET_USER_MEMORY_REGION`` as one table of data, ``slots.py``
the memslots that pass them. Nothing here is imported unless a command asks for it.
"""
