// A client of a model in the form of the vendor's own, as small as a script's test needs it.
export class MessageStream {}

export default class Anthropic {
  messages = {
    async create(body) {
      const url = `${process.env.ANTHROPIC_BASE_URL}/v1/messages`;
      const answer = await fetch(url, { method: "POST", body: JSON.stringify(body) });
      return await answer.json();
    },
  };
}
