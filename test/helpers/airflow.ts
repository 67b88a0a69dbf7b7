import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A Python with Airflow's Task SDK. */
export interface AirflowPython {
  /** Airflow's. */
  readonly version: string;
  readonly python: string;
}

const cached = (folder: string): string => fileURLToPath(new URL(`../../.cache/${folder}/bin/python`, import.meta.url));

/** As `pip install apache-airflow-task-sdk==1.2.*` makes it: `.ci/run` has it, or the variable names one. */
export const airflow32: AirflowPython = { version: '3.2', python: process.env['SALLYPORT_AIRFLOW_PYTHON'] ?? cached('airflow-client') };
/** The same of 1.3. */
export const airflow33: AirflowPython = { version: '3.3', python: process.env['SALLYPORT_AIRFLOW_33_PYTHON'] ?? cached('airflow-client-3.3') };

/** Whether this user can run it: one that was made of a Python in somebody's home leads nowhere for others. */
export const isThere = ({ python }: AirflowPython): boolean => existsSync(python);
export const missing = ({ version }: AirflowPython): readonly [what: string, how: string] => [`Airflow ${version}'s Task SDK`, `.ci/run installs it, or SALLYPORT_AIRFLOW_${version === '3.2' ? '' : '33_'}PYTHON names a Python that has it`];
