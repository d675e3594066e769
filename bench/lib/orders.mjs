/** Takes the orders of the parent, and answers each with what came of it, or with { error }. Ends with the parent.
 *  @param {(order: object) => Promise<object>} run */
export function answerOrders(run) {
  process.on('message', async (order) => {
    try {
      process.send(await run(order));
    } catch (error) {
      process.send({ error: error.message });
    }
  });
  process.once('disconnect', () => process.exit(0));
}
