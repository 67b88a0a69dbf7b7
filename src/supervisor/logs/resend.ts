import { closeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { Type } from '@sinclair/typebox';
import { DescriptorReply } from '../../broker/descriptor.js';
import { method, type MethodTable } from '../../broker/index.js';
import { BrokerDenied } from '../../errors.js';
import type { Task } from '../../task/task.js';

/** An interpreter of its own asks once; descriptors of the supervisor's are few. */
const mostForOneTask = 16;

/**
 * Airflow's ResendLoggingFD: a program that a task started, such as another Python, asks for a log of its own. The answer has a
 * socket attached, which is read as descriptor 3 is.
 *
 * @param read Reads the stream to its end.
 */
export function resendLoggingFd(task: Pick<Task, 'openLog' | 'sendDescriptor'>, read: (stream: Readable) => void): MethodTable {
  let left = mostForOneTask;
  return {
    ResendLoggingFD: method({
      params: Type.Object({}),
      handler: () => {
        if (left === 0) throw new BrokerDenied('ResendLoggingFD', `comes after ${mostForOneTask} others`);
        left--;
        const { stream, theirs } = task.openLog();
        read(stream);
        // The number says nothing: the receiver's is the one that the kernel gives it.
        return new DescriptorReply({ type: 'SentFDs', fds: [3] }, (bytes) => task.sendDescriptor(theirs, bytes), () => closeSync(theirs));
      },
    }),
  };
}
