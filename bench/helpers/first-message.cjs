process.send('x', () => process.disconnect());
