'use strict';
const chat = document.getElementById('chat'), form = document.getElementById('post');
const content = document.getElementById('content'), file = document.getElementById('file'), status = document.getElementById('status');
const say = (s) => { status.textContent = s; };

// call returns the JSON of a reply; a problem becomes an error with its title.
async function call(path, init) {
  const res = await fetch(path, { method: 'POST', ...init });
  const body = await res.json();
  if (!res.ok) throw new Error(body.detail || body.title || 'status ' + res.status);
  return body;
}
const json = (v) => ({ headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(v) });

function add(role, text, link) {
  const li = document.createElement('li'), p = document.createElement('p');
  li.className = role;
  p.textContent = text;
  li.append(p);
  if (link) {
    const a = document.createElement('a');
    a.href = link;
    a.textContent = 'image';
    li.append(a);
  }
  document.getElementById('messages').prepend(li);
}

form.onsubmit = async (e) => {
  e.preventDefault();
  try {
    let attachment;
    if (file.files.length) {
      say('Uploading…');
      const data = new FormData();
      data.append('file', file.files[0]);
      const up = await call('/api/upload', { body: data });
      attachment = { kind: 'image', url: up.url, bytes: up.bytes };
      say(up.fallback ? 'Stored here until the CDN is back.' : 'Uploaded, ' + up.savedPercent + ' % smaller.');
    }
    await call('/api/conversations/' + chat.dataset.conversation + '/messages', json({ content: content.value, attachment }));
    add('USER', content.value, attachment && attachment.url);
    form.reset();
  } catch (err) { say(err.message); }
};

document.getElementById('ask').onclick = async () => {
  try {
    say('Asking…');
    const a = await call('/api/ask', json({ user: chat.dataset.user, conversation: chat.dataset.conversation, prompt: content.value }));
    add('ASSISTANT', a.answer);
    say(a.degraded ? 'The model is not available; this is a stand-in answer.' : '');
  } catch (err) { say(err.message); }
};
