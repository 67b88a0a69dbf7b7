import { variables } from 'sallyport/task';

export default async function greet() {
  console.log(`${await variables.get('greeting')}.`);
}
