/*
 * Whether KVM can run a machine here. That /dev/kvm can be opened says little: inside of a virtual machine it may be
 * there, and end each guest at the first instruction that it has to emulate. So it is tried with a few: what firmware
 * begins with (kernel Documentation virt/kvm/api.rst).
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "cli/run_command.h"
#include "common/cleanup.h"

#ifdef __x86_64__

#define PAGE    4096
#define ADDRESS 0x1000 /* of the code, in the guest */

/* fwait; fninit; hlt */
static const uint8_t code[] = {0x9b, 0xdb, 0xe3, 0xf4};

static bool set_registers(int cpu)
{
	struct kvm_regs regs = {.rip = ADDRESS, .rflags = 2};
	struct kvm_sregs sregs;

	if (ioctl(cpu, KVM_GET_SREGS, &sregs) < 0)
		return false;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	return ioctl(cpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(cpu, KVM_SET_REGS, &regs) == 0;
}

/* Whether the processor comes to the end of the code. */
static bool runs_to_halt(int kvm, int cpu)
{
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, cpu, 0) : MAP_FAILED;
	bool works;

	if (run == MAP_FAILED)
		return false;
	works = set_registers(cpu) && ioctl(cpu, KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_HLT;
	munmap(run, (size_t)size);
	return works;
}

static bool try_guest(int kvm, int vm)
{
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.guest_phys_addr = ADDRESS, .memory_size = PAGE};
	ul_autoclose int cpu = -1;
	bool works;

	if (memory == MAP_FAILED)
		return false;
	memcpy(memory, code, sizeof(code));
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0)
		cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	works = cpu >= 0 && runs_to_halt(kvm, cpu);
	munmap(memory, PAGE);
	return works;
}

#else

static bool try_guest(int kvm, int vm)
{
	(void)kvm;
	return vm >= 0;
}

#endif

bool cli_run_has_kvm(const char *machine)
{
	ul_autoclose int kvm = -1, vm = -1;
	struct utsname name;

	if (uname(&name) < 0 || strcmp(name.machine, machine) != 0)
		return false;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return false;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	return vm >= 0 && try_guest(kvm, vm);
}
