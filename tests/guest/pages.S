# The firmware and only program of a guest that writes pages on command.
#
# 64 KiB that end at the reset vector (QEMU's -bios), real mode throughout, so that it runs under any
# KVM as well.  It uses no stack, no interrupts and no variables: apart from what is
# listed here nothing in this guest's memory changes.
#
# A command is a byte on the first serial port, answered by a byte:
#
#   0x10 ... 0x8f  writes a count of commands into the first word of that page; answers the same byte
#   0x01           has the IDE disk's first 64 KiB read into pages 0x20 ... 0x2f by bus-master DMA;
#                  answers 0x01 when the disk has been told
#   0x02           waits for the end of that; answers the IDE status
#
# At its start it writes page 0x0f: the DMA's table of one entry (PRD).

	.code16

	.set serial, 0x3f8
	.set ide, 0x1f0
	.set busmaster, 0xc000
	.set prd_segment, 0xf00
	.set prd, 0xf000
	.set target, 0x20000

	.macro out_byte port, value
	movw	$\port, %dx
	movb	$\value, %al
	outb	%al, %dx
	.endm

	.macro pci_write register, value
	movw	$0xcf8, %dx
	movl	$(0x80000900 | \register), %eax		# bus 0, device 1, function 1: PIIX3 IDE
	outl	%eax, %dx
	movw	$0xcfc, %dx
	movl	$\value, %eax
	outl	%eax, %dx
	.endm

	.org	0
start:
	cli
	pci_write 0x20, (busmaster | 1)			# BAR4
	pci_write 0x04, 5				# I/O space, bus master
	movw	$prd_segment, %ax
	movw	%ax, %ds
	movl	$target, 0
	movl	$0x80000000, 4				# 64 KiB, end of table
	xorw	%bx, %bx

next:
	movw	$(serial + 5), %dx
1:	inb	%dx, %al
	testb	$1, %al					# data ready
	jz	1b
	movw	$serial, %dx
	inb	%dx, %al
	incw	%bx
	cmpb	$0x01, %al
	je	read_disk
	cmpb	$0x02, %al
	je	wait_disk

	xorb	%cl, %cl
	movb	%al, %ch				# page * 0x100 is its segment
	movw	%cx, %ds
	movw	%bx, 0
	jmp	answer

read_disk:
	out_byte (busmaster + 2), 0x06			# clear error and interrupt
	movw	$(busmaster + 4), %dx
	movl	$prd, %eax
	outl	%eax, %dx
	out_byte (ide + 6), 0xe0			# master, LBA
	out_byte (ide + 2), 128				# sectors
	out_byte (ide + 3), 0
	out_byte (ide + 4), 0
	out_byte (ide + 5), 0
	out_byte (ide + 7), 0xc8			# READ DMA
	out_byte busmaster, 0x09			# to memory, go
	movb	$0x01, %al
	jmp	answer

wait_disk:
	movw	$(busmaster + 2), %dx
1:	inb	%dx, %al
	testb	$1, %al					# active
	jnz	1b
	out_byte busmaster, 0
	movw	$(ide + 7), %dx
	inb	%dx, %al

answer:
	movw	$serial, %dx
	outb	%al, %dx
	jmp	next

	.org	0xfff0
	ljmp	$0xf000, $start
	.org	0xffff
	.byte	0
