/** Whether a thrown thing is an error of a system call, with a code like `ENOENT`. */
export function isErrno(error: unknown): error is NodeJS.ErrnoException & { readonly code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}
